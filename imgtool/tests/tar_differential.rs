//! Our reader against Python's tarfile and GNU tar: on what Python writes, in every format, and on
//! damaged copies of that: the same entries, or a refusal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use windlass_img::layer::tar::{EntryKind, TarLimits, TarReader};

/// Writes archives named 0, 1, … of random entries; with each, as JSON, what Python reads out of
/// it (null if it can't, a string if it took too much time or memory). The second half are copies with some bytes changed and, where those are
/// in headers, the checksums mended.
const WRITER: &str = r"
import io, json, os, random, resource, signal, sys, tarfile
# A damaged archive can make tarfile ask for all memory there is, or never end.
resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
class TooLong(Exception):
    pass
def too_long(*_):
    raise TooLong()
signal.signal(signal.SIGALRM, too_long)
seed, count, target = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)
def name():
    parts = [rng.choice(['a', 'b', 'dir', 'x' * rng.choice([5, 60, 99, 100, 101, 155]), 'ä', 'with space'])
             for _ in range(rng.randint(1, 5))]
    return '/'.join(parts) + str(rng.randint(0, 99))
def write():
    out = io.BytesIO()
    kind = rng.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    with tarfile.open(fileobj=out, mode='w', format=kind) as tar:
        for _ in range(rng.randint(0, 12)):
            info = tarfile.TarInfo(name())
            info.type = rng.choice([tarfile.REGTYPE] * 4 + [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE,
                                    tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
            info.mode = rng.randrange(0o10000)
            info.uid = rng.choice([0, 1000, 0o7777777, 0o10000000, 2**31 - 1])
            info.gid = rng.choice([0, 5, 0o10000000])
            info.mtime = rng.choice([0, 1, 1700000000, 2**33, 2**33 + 1])
            if kind == tarfile.PAX_FORMAT and rng.random() < .5:
                info.mtime += rng.choice([.5, .25, .125])
            if kind == tarfile.PAX_FORMAT and rng.random() < .3:
                info.pax_headers = {'SCHILY.xattr.user.k%d' % n: 'v' * rng.randrange(50) for n in range(rng.randint(1, 3))}
            if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = name()
            if info.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
                info.devmajor, info.devminor = rng.randrange(4096), rng.randrange(2**20)
            data = b''
            if info.type == tarfile.REGTYPE:
                data = rng.randbytes(rng.choice([0, 1, 511, 512, 513, 3000]))
                info.size = len(data)
            try:
                tar.addfile(info, io.BytesIO(data))
            except ValueError:
                pass  # ustar can't hold it
    return out.getvalue()
def chars(text):
    return text.encode('utf-8', 'surrogateescape').decode('latin-1')
def read(data):
    signal.setitimer(signal.ITIMER_REAL, 2)
    try:
        entries = []
        with tarfile.open(fileobj=io.BytesIO(data), mode='r:', errorlevel=2) as tar:
            for info in tar:
                xattrs = sorted((chars(k[13:]), chars(v)) for k, v in info.pax_headers.items() if k.startswith('SCHILY.xattr.'))
                content = tar.extractfile(info).read() if info.isreg() else b''
                entries.append([chars(info.name), info.type.decode('latin-1'), info.mode & 0o7777, info.uid, info.gid,
                    int(info.mtime // 1), chars(info.linkname), info.devmajor if info.isdev() and not info.isfifo() else 0,
                    info.devminor if info.isdev() and not info.isfifo() else 0,
                    len(content), sum(content) % 65536, xattrs])
        return entries
    except (MemoryError, TooLong):
        return 'no answer'
    except Exception:
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
def damage(data):
    data = bytearray(data)
    headers = [n for n in range(0, len(data) - 512, 512) if data[n + 257:n + 262] == b'ustar']
    for _ in range(rng.randint(1, 2)):
        if not headers: break
        start = rng.choice(headers)
        at = start + rng.choice([rng.randrange(345), 156, rng.randrange(124, 136), rng.randrange(512), 512 + rng.randrange(40)])
        if at < len(data):
            data[at] = rng.choice([0, 32, 48, 49, 55, 57, 61, 10, 120, 103, 76, 128, 255, rng.randrange(256)])
        block = data[start:start + 512]
        block[148:156] = b' ' * 8
        data[start + 148:start + 156] = b'%06o\0 ' % sum(block)
    return bytes(data)
for number in range(count):
    data = write()
    if number >= count // 2: data = damage(data)
    with open(os.path.join(target, str(number)), 'wb') as f: f.write(data)
    with open(os.path.join(target, '%d.json' % number), 'w') as f: json.dump(read(data), f)
";

/// What we read, in the form that the writer's JSON has; nothing if we refuse it.
fn read(archive: &[u8]) -> Option<Vec<Value>> {
    let mut tar = TarReader::new(archive, TarLimits::default());
    let mut entries = Vec::new();
    while let Some(entry) = tar.next_entry().ok()? {
        let (mut length, mut sum) = (0, 0u64);
        loop {
            let data = tar.data().ok()?;
            if data.is_empty() {
                break;
            }
            length += data.len();
            sum += data.iter().map(|&byte| u64::from(byte)).sum::<u64>();
            let count = data.len();
            tar.consume(count);
        }
        let text = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
        let (kind, link, device) = match &entry.kind {
            EntryKind::File => ("0", String::new(), (0, 0)),
            EntryKind::HardLink(target) => ("1", text(target.as_bytes()), (0, 0)),
            EntryKind::Symlink(target) => ("2", text(target), (0, 0)),
            EntryKind::CharDevice(major, minor) => ("3", String::new(), (*major, *minor)),
            EntryKind::BlockDevice(major, minor) => ("4", String::new(), (*major, *minor)),
            EntryKind::Directory => ("5", String::new(), (0, 0)),
            EntryKind::Fifo => ("6", String::new(), (0, 0)),
        };
        let mut xattrs: Vec<(String, String)> = Vec::new();
        for (name, value) in &entry.xattrs {
            xattrs.push((text(name), text(value)));
        }
        xattrs.sort();
        entries.push(serde_json::json!([
            text(entry.path.as_bytes()),
            kind,
            entry.mode,
            entry.uid,
            entry.gid,
            entry.mtime.seconds,
            link,
            device.0,
            device.1,
            length,
            sum % 65536,
            xattrs,
        ]));
    }
    Some(entries)
}

/// What the two may say differently: Python keeps a link's name for other types, old types under
/// their old letters, and names in the spelling of the archive.
fn normalized(entry: &Value) -> Value {
    let mut fields = entry.as_array().unwrap().clone();
    let kind = match fields[1].as_str().unwrap() {
        "\0" | "7" => "0".to_owned(),
        kind => kind.to_owned(),
    };
    let spelled = |name: &Value| {
        let name = name.as_str().unwrap();
        name.split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .collect::<Vec<_>>()
            .join("/")
    };
    fields[0] = spelled(&fields[0]).into();
    fields[6] = match kind.as_str() {
        "1" => spelled(&fields[6]).into(),
        "2" => fields[6].clone(),
        _ => "".into(),
    };
    fields[1] = kind.into();
    fields.into()
}

/// Archives, the second half of them damaged, and the seed that they were made of (`TAR_SEED`).
fn archives(count: usize) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let seed = std::env::var("TAR_SEED").unwrap_or_else(|_| "1".to_owned());
    let mut python = Command::new("python3");
    python
        .args(["-c", WRITER, &seed, &count.to_string()])
        .arg(directory.path());
    assert!(python.status().unwrap().success());
    (directory, seed)
}

#[test]
fn what_python_reads_we_read_or_refuse() {
    const COUNT: usize = 1000;
    let (directory, seed) = archives(COUNT);
    let (mut same, mut refused) = (0, 0);
    for number in 0..COUNT {
        let archive = std::fs::read(directory.path().join(number.to_string())).unwrap();
        let theirs = std::fs::read(directory.path().join(format!("{number}.json"))).unwrap();
        let theirs: Value = serde_json::from_slice(&theirs).unwrap();
        if theirs.is_string() {
            continue;
        }
        let theirs: Option<Vec<Value>> = serde_json::from_value(theirs).unwrap();
        let damaged = number >= COUNT / 2;
        match (read(&archive), theirs) {
            (Some(ours), Some(theirs)) => {
                let theirs: Vec<Value> = theirs.iter().map(normalized).collect();
                let ours: Vec<Value> = ours.iter().map(normalized).collect();
                assert_eq!(ours, theirs, "archive {number}, seed {seed}");
                same += 1;
            }
            (None, _) if damaged => refused += 1,
            (None, _) => panic!("archive {number} of seed {seed} is good, but we refuse it"),
            (Some(ours), None) => {
                panic!("archive {number} of seed {seed}: Python refuses it, we read {ours:?}")
            }
        }
    }
    assert!(
        same > COUNT / 2 && refused > 100,
        "{same} the same, {refused} refused"
    );
}

/// What `tar --list --verbose` says of an archive, but for the times: these it rounds, and may refuse to
/// write. Nothing if it refuses the archive.
fn gnu_tar(archive: &Path) -> Option<Vec<String>> {
    let mut tar = Command::new("tar");
    tar.args(["--list", "--verbose", "--numeric-owner", "--full-time"])
        .args(["--quoting-style=escape", "--file"])
        .arg(archive)
        .env("LC_ALL", "C");
    let output = tar.output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let what: Vec<&str> = words.by_ref().take(3).collect();
        let names: Vec<&str> = words.skip(2).collect();
        // A contiguous file is a file.
        let what = what.join(" ").replacen('C', "-", 1);
        format!("{what} {}", spelled_names(&names.join(" ")))
    };
    let entries = list.lines().map(line).collect();
    output.status.success().then_some(entries)
}

/// Names without what a spelling may add to them.
fn spelled_names(names: &str) -> String {
    let spelled = |name: &str| {
        let parts = name.split('/');
        let parts: Vec<&str> = parts.filter(|part| !matches!(*part, "" | ".")).collect();
        parts.join("/")
    };
    match names.split_once(" link to ") {
        Some((name, target)) => format!("{} link to {}", spelled(name), spelled(target)),
        None => match names.split_once(" -> ") {
            Some((name, target)) => format!("{} -> {target}", spelled(name)),
            None => spelled(names),
        },
    }
}

/// How GNU tar would list an entry that we have read.
fn listed(entry: &Value) -> String {
    let number = |field: usize| entry[field].as_u64().unwrap();
    let name = |field: usize| {
        let mut escaped = String::new();
        for c in entry[field].as_str().unwrap().chars() {
            match c {
                '\\' => escaped.push_str("\\\\"),
                '\x07' => escaped.push_str("\\a"),
                '\x08' => escaped.push_str("\\b"),
                '\x0b' => escaped.push_str("\\v"),
                '\x0c' => escaped.push_str("\\f"),
                '\n' => escaped.push_str("\\n"),
                '\r' => escaped.push_str("\\r"),
                '\t' => escaped.push_str("\\t"),
                ' '..='~' => escaped.push(c),
                c => write!(escaped, "\\{:03o}", u32::from(c)).unwrap(),
            }
        }
        let words: Vec<&str> = escaped.split_ascii_whitespace().collect();
        words.join(" ")
    };
    let (letter, size, link) = match entry[1].as_str().unwrap() {
        "1" => ('h', "0".to_owned(), format!(" link to {}", name(6))),
        "2" => ('l', "0".to_owned(), format!(" -> {}", name(6))),
        "3" => ('c', format!("{},{}", number(7), number(8)), String::new()),
        "4" => ('b', format!("{},{}", number(7), number(8)), String::new()),
        "5" => ('d', "0".to_owned(), String::new()),
        "6" => ('p', "0".to_owned(), String::new()),
        _ => ('-', number(9).to_string(), String::new()),
    };
    let mode = number(2);
    let mut modes = String::new();
    for (class, special, letters) in [(6, 0o4000, "sS"), (3, 0o2000, "sS"), (0, 0o1000, "tT")] {
        let has = |bit: u64| mode >> class & bit != 0;
        modes.push(if has(4) { 'r' } else { '-' });
        modes.push(if has(2) { 'w' } else { '-' });
        modes.push(match (mode & special != 0, has(1)) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, runs) => letters.as_bytes()[usize::from(!runs)].into(),
        });
    }
    let names = spelled_names(&format!("{}{link}", name(0)));
    format!("{letter}{modes} {}/{} {size} {names}", number(3), number(4))
}

#[test]
fn what_gnu_tar_reads_we_read_or_refuse() {
    const COUNT: usize = 400;
    let version = Command::new("tar").arg("--version").output();
    if !version.is_ok_and(|version| version.stdout.starts_with(b"tar (GNU tar)")) {
        eprintln!("skipped: there is no GNU tar");
        return;
    }
    let (directory, seed) = archives(COUNT);
    let (mut same, mut refused) = (0, 0);
    for number in 0..COUNT {
        let path = directory.path().join(number.to_string());
        let Some(ours) = read(&std::fs::read(&path).unwrap()) else {
            refused += 1;
            continue;
        };
        let ours: Vec<String> = ours.iter().map(listed).collect();
        assert_eq!(Some(ours), gnu_tar(&path), "archive {number}, seed {seed}");
        same += 1;
    }
    assert!(
        same > COUNT / 2 && refused > COUNT / 10,
        "{same} the same, {refused} refused"
    );
}
