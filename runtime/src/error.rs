//! The one error of the runtime: what was being done, where config.json asked for it, which call
//! the kernel refused, what it said, and what would mend it.

use std::borrow::Cow;
use std::fmt;

use rustix::io::Errno;

/// Short for a result whose error is ours.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error that prints as one line, outermost context first, in the way that runc words its own
/// (engines match on parts of it): `context: call: what the kernel said (config.json POINTER; hint)`.
pub struct Error(Box<Inner>);

struct Inner {
    message: Cow<'static, str>,
    errno: Option<Errno>,
    contexts: Vec<Cow<'static, str>>,
    pointer: Option<String>,
    document: &'static str,
    hint: Option<Cow<'static, str>>,
    by_program: bool,
}

impl Error {
    /// An error of our own finding.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Error(Box::new(Inner {
            message: message.into(),
            errno: None,
            contexts: Vec::new(),
            pointer: None,
            document: "config.json",
            hint: None,
            by_program: false,
        }))
    }

    /// A call that the kernel refused: `call` is the call with its decoded arguments.
    pub fn call(call: impl Into<Cow<'static, str>>, errno: Errno) -> Self {
        let mut error = Error::new(call);
        error.0.errno = Some(errno);
        error
    }

    /// A value of config.json that can't be accepted: `pointer` is its JSON pointer (RFC 6901).
    pub fn config(pointer: impl Into<String>, problem: impl Into<Cow<'static, str>>) -> Self {
        Error::new(problem).at(pointer)
    }

    /// Says where in config.json the failing request stands. The innermost pointer wins: it was
    /// set by whoever knew most.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.0.pointer.get_or_insert_with(|| pointer.into());
        self
    }

    /// The same error with another place in config.json.
    #[must_use]
    pub fn moved_to(mut self, pointer: String) -> Self {
        self.0.pointer = Some(pointer);
        self
    }

    /// Says in which file the place stands, where that is not config.json.
    #[must_use]
    pub fn in_document(mut self, document: &'static str) -> Self {
        self.0.document = document;
        self
    }

    /// Says what would mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint.get_or_insert(hint.into());
        self
    }

    /// Says what was being done; contexts are printed outermost first.
    #[must_use]
    pub fn context(mut self, context: impl Into<Cow<'static, str>>) -> Self {
        self.0.contexts.push(context.into());
        self
    }

    /// Says that the program could not be executed, and that this is the whole of its message: a
    /// person is shown that line as it is, without what we were doing.
    #[must_use]
    pub fn by_program(mut self) -> Self {
        self.0.by_program = true;
        self
    }

    /// The one line to show for a program that could not be executed, if this is such an error.
    pub fn programs_line(&self) -> Option<&str> {
        self.0.by_program.then_some(&*self.0.message)
    }

    /// Where in config.json the failing request stands (RFC 6901).
    pub fn pointer(&self) -> Option<&str> {
        self.0.pointer.as_deref()
    }

    /// What would mend it.
    pub fn remedy(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// What is wrong, without what was being done, where, and what would mend it.
    pub fn problem(&self) -> String {
        match self.0.errno {
            Some(errno) => format!("{}: {}", self.0.message, kernel_words(errno)),
            None => self.0.message.clone().into_owned(),
        }
    }

    /// What the kernel said, if this came from a call.
    pub fn errno(&self) -> Option<Errno> {
        self.0.errno
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(&mut OneLine(f))
    }
}

impl Error {
    fn write(&self, f: &mut impl fmt::Write) -> fmt::Result {
        let inner = &self.0;
        for context in inner.contexts.iter().rev() {
            write!(f, "{context}: ")?;
        }
        f.write_str(&inner.message)?;
        if let Some(errno) = inner.errno {
            write!(f, ": {}", kernel_words(errno))?;
        }
        let pointer = inner
            .pointer
            .as_deref()
            .filter(|pointer| !pointer.is_empty());
        match (pointer, &inner.hint) {
            (Some(pointer), Some(hint)) => {
                write!(f, " ({} {pointer}; {hint})", inner.document)
            }
            (Some(pointer), None) => write!(f, " ({} {pointer})", inner.document),
            (None, Some(hint)) => write!(f, " ({hint})"),
            (None, None) => Ok(()),
        }
    }
}

/// Text from a caller or an image as one line, safe for a terminal.
pub fn one_line(text: &str) -> String {
    struct Shown<'t>(&'t str);
    impl fmt::Display for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            fmt::Write::write_str(&mut OneLine(f), self.0)
        }
    }
    Shown(text).to_string()
}

/// Writes what comes from a caller or an image so that it can neither begin a line of its own, in a
/// log say, nor speak to the terminal.
struct OneLine<'w, 'f>(&'w mut fmt::Formatter<'f>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(char::is_control) {
            let plain = part.trim_end_matches(char::is_control);
            self.0.write_str(plain)?;
            write!(self.0, "{}", part[plain.len()..].escape_debug())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

/// Names the call, with its arguments, when it fails; costs nothing when it does not.
pub trait CallContext<T> {
    /// Turns the kernel's refusal into an [`Error`] that shows the call.
    fn call<S: Into<Cow<'static, str>>>(self, call: impl FnOnce() -> S) -> Result<T>;
}

impl<T> CallContext<T> for std::result::Result<T, Errno> {
    fn call<S: Into<Cow<'static, str>>>(self, call: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|errno| Error::call(call(), errno))
    }
}

impl<T> CallContext<T> for std::io::Result<T> {
    fn call<S: Into<Cow<'static, str>>>(self, call: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| match Errno::from_io_error(&error) {
            Some(errno) => Error::call(call(), errno),
            None => Error::new(error.to_string()).context(call()),
        })
    }
}

/// Adds to an error what was being done, or where config.json asked for it.
pub trait ErrorContext<T> {
    /// Says what was being done.
    fn context<S: Into<Cow<'static, str>>>(self, context: impl FnOnce() -> S) -> Result<T>;
    /// Says where in config.json the request stands.
    fn at<S: Into<String>>(self, pointer: impl FnOnce() -> S) -> Result<T>;
}

impl<T> ErrorContext<T> for Result<T> {
    fn context<S: Into<Cow<'static, str>>>(self, context: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| error.context(context()))
    }

    fn at<S: Into<String>>(self, pointer: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| error.at(pointer()))
    }
}

/// strerror(3)'s text with a small first letter, as Go prints it: Docker tells exit statuses 126
/// and 127 apart by "permission denied" and "no such file or directory".
pub fn kernel_words(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_wrote_stays_within_the_line() {
        let error = Error::new("no \u{1b}[2J\naction\n").hint("\u{e4} \t");
        assert_eq!(error.to_string(), "no \\u{1b}[2J\\naction\\n (\u{e4} \\t)");
    }

    #[test]
    fn an_error_is_one_line_with_all_that_is_known() {
        let error = Error::call("openat(rootfs, \"dev\")", Errno::NOENT)
            .at("/mounts/1")
            .hint("make it first")
            .context("mounting \"tmpfs\"")
            .context("container init");
        assert_eq!(
            error.to_string(),
            "container init: mounting \"tmpfs\": openat(rootfs, \"dev\"): no such file or \
             directory (config.json /mounts/1; make it first)"
        );
    }
}
