//! `WWW-Authenticate`: what a server wants to see (RFC 9110, section 11.6.1).

/// One way to prove who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A name and a password with every request (RFC 7617).
    Basic,
    /// A token from another server (distribution's "token authentication specification").
    Bearer {
        /// The address of the token server.
        realm: String,
        /// Whom the token is for.
        service: Option<String>,
        /// What it is to allow.
        scope: Option<String>,
    },
}

/// Reads the headers' challenges; unknown ones are passed over. The strongest comes first.
pub fn parse<'a>(headers: impl Iterator<Item = &'a str>) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = headers.flat_map(parse_header).collect();
    challenges.sort_by_key(|challenge| *challenge == Challenge::Basic);
    challenges
}

fn parse_header(header: &str) -> Vec<Challenge> {
    let mut schemes: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let word = token(rest);
        if word.is_empty() {
            // Not the grammar: what was understood until here counts.
            break;
        }
        rest = rest[word.len()..].trim_start();
        if let Some(value) = rest.strip_prefix('=') {
            let (value, after) = value_of(value.trim_start());
            if let Some((_, parameters)) = schemes.last_mut() {
                parameters.push((word.to_ascii_lowercase(), value));
            }
            rest = after;
        } else {
            schemes.push((word.to_ascii_lowercase(), Vec::new()));
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    schemes.into_iter().filter_map(known).collect()
}

fn known((scheme, parameters): (String, Vec<(String, String)>)) -> Option<Challenge> {
    let parameter = |name: &str| {
        let found = parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    match scheme.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: parameter("realm")?,
            service: parameter("service"),
            scope: parameter("scope").filter(|scope| !scope.is_empty()),
        }),
        _ => None,
    }
}

fn token(text: &str) -> &str {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let length = text.bytes().take_while(|&byte| is_token(byte)).count();
    &text[..length]
}

/// A quoted string or a token, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let value = token(text);
        return (value.to_owned(), &text[value.len()..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let headers = [
            r#"Basic realm="a, b=c", Bearer realm="https://t.example/token?x=1",service=reg,scope="repository:a/b:pull,push""#,
            "Negotiate",
        ];
        let bearer = Challenge::Bearer {
            realm: "https://t.example/token?x=1".into(),
            service: Some("reg".into()),
            scope: Some("repository:a/b:pull,push".into()),
        };
        assert_eq!(parse(headers.into_iter()), [bearer, Challenge::Basic]);
        assert_eq!(parse([r#"bearer realm="a\"b""#].into_iter()).len(), 1);
        for broken in [
            "",
            ",,,",
            "Bearer",
            "Bearer realm",
            "=x",
            "Bearer service=\"x",
            "\u{e9}",
        ] {
            assert_eq!(parse([broken].into_iter()), [], "{broken}");
        }
    }
}
