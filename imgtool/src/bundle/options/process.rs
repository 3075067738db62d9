//! `--user`, `--group-add`, `--workdir`, `--tty`, `--no-new-privileges`: what the process is.

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::bundle::config::absolute;
use crate::bundle::runtime_config::RuntimeConfig;
use crate::bundle::user;
use crate::layer::rootfs::RootFs;
use crate::layout::document::ProcessConfig;

/// What the process is.
#[derive(Debug, Clone, Default, Args)]
pub struct ProcessOptions {
    /// Who runs it: names of the image's /etc/passwd and /etc/group, or numbers.
    #[arg(long, short = 'u', value_name = "USER[:GROUP]")]
    user: Option<String>,

    /// A further group that it is in: a name of the image's /etc/group, or a number. May be repeated.
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,

    /// The directory where it begins; made if it isn't there.
    #[arg(long, short = 'w', value_name = "PATH")]
    workdir: Option<String>,

    /// It has a terminal instead of pipes.
    #[arg(long, short = 't')]
    tty: bool,

    /// It gets no rights from set-user-ID programs and file capabilities.
    #[arg(long)]
    no_new_privileges: bool,
}

impl ProcessOptions {
    /// Writes it into config.json; gives the user's home, if the image knows one.
    pub(super) fn apply(
        &self,
        config: &mut RuntimeConfig,
        image: &ProcessConfig,
        rootfs: &RootFs,
    ) -> Result<Option<String>> {
        let process = &mut config.process;
        process.terminal = self.tty;
        process.no_new_privileges = self.no_new_privileges;
        process.cwd = match &self.workdir {
            Some(path) if !path.starts_with('/') => {
                bail!("--workdir '{path}' is not an absolute path")
            }
            Some(path) => path.clone(),
            None if image.working_dir.is_empty() => "/".to_owned(),
            None => absolute(&image.working_dir).context("the image's WorkingDir")?,
        };
        let user = match &self.user {
            Some(user) => user::resolve(user, Some(rootfs)).context("--user")?,
            None => user::resolve(&image.user, Some(rootfs)).context("the image's User")?,
        };
        process.user.uid = user.uid;
        process.user.gid = user.gid;
        // The own group among them: without it, a set-group-ID program could drop the group that
        // files deny something to (CVE-2022-36109).
        let mut groups = user.additional_gids;
        if !groups.contains(&user.gid) {
            groups.insert(0, user.gid);
        }
        for gid in user::resolve_groups(&self.group_add, rootfs).context("--group-add")? {
            if !groups.contains(&gid) {
                groups.push(gid);
            }
        }
        process.user.additional_gids = groups;
        Ok(user.home)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{applied, refused};

    #[test]
    fn names_are_the_image_s() {
        let user = |flag: &str| applied(&["--user", flag])["process"]["user"].clone();
        assert_eq!(
            applied(&[])["process"]["user"],
            json!({ "uid": 0, "gid": 0, "additionalGids": [0] })
        );
        assert_eq!(
            user("app"),
            json!({ "uid": 1000, "gid": 1001, "additionalGids": [1001, 44] })
        );
        assert_eq!(
            user("app:video"),
            json!({ "uid": 1000, "gid": 44, "additionalGids": [44] })
        );
        assert_eq!(
            user("5:6"),
            json!({ "uid": 5, "gid": 6, "additionalGids": [6] })
        );
        let environment = applied(&["--user=app"])["process"]["env"].clone();
        assert!(
            environment
                .as_array()
                .unwrap()
                .contains(&"HOME=/home/app".into())
        );
        refused(
            &["--user=nobody-here"],
            "--user: user 'nobody-here': no such name",
        );
        refused(&["--user=-1"], "--user");
    }

    #[test]
    fn groups_are_added() {
        let groups = |flags: &[&str]| applied(flags)["process"]["user"]["additionalGids"].clone();
        assert_eq!(groups(&["--group-add=video"]), json!([0, 44]));
        assert_eq!(
            groups(&[
                "--user=app",
                "--group-add",
                "7",
                "--group-add=video",
                "--group-add=7"
            ]),
            json!([1001, 44, 7])
        );
        refused(
            &["--group-add=nobody-here"],
            "--group-add: group 'nobody-here': no such group",
        );
        refused(&["--group-add=-1"], "--group-add");
    }

    #[test]
    fn the_rest() {
        let config = applied(&["-w", "/srv", "-t", "--no-new-privileges"]);
        assert_eq!(config["process"]["cwd"], "/srv");
        assert_eq!(config["process"]["terminal"], true);
        assert_eq!(config["process"]["noNewPrivileges"], true);
        assert_eq!(applied(&[])["process"]["terminal"], false);
        assert_eq!(applied(&[])["process"]["cwd"], "/work");
        refused(&["--workdir=srv"], "--workdir 'srv'");
    }
}
