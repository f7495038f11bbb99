//! Whom a login proves to be there. Each kind of identity has its place here; this version has
//! the one for trying it out.

use presence::ask::Refusal;
use presence::close::ErrorCode;
use presence::hello::{Credentials, IdentityKind};
use presence::ids::UserId;

/// The kinds of identity that this node accepts.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Whether anyone is let in by name.
    pub dev: bool,
}

/// Somebody who is who they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// The id.
    pub id: UserId,
    /// Display name.
    pub name: Box<str>,
    /// Address of a picture, empty if none.
    pub avatar: Box<str>,
}

impl Identity {
    /// Checks a login.
    pub(crate) fn check(&self, credentials: &Credentials) -> Result<Known, Refusal> {
        match credentials.kind {
            IdentityKind::Dev if self.dev => dev(credentials),
            IdentityKind::Dev => Err(unauthorized("this server lets nobody in by name (--dev)")),
            IdentityKind::Github | IdentityKind::Jwt | IdentityKind::Guest => Err(Refusal::new(
                ErrorCode::NotSupported,
                "this version signs in with \"as\":\"dev\" only",
            )),
        }
    }
}

fn dev(credentials: &Credentials) -> Result<Known, Refusal> {
    let name = credentials.token.as_ref().map(|token| token.reveal()).unwrap_or_default();
    if name.is_empty() {
        return Err(unauthorized("`token` is the name to come in by"));
    }
    let id = UserId::parse(&format!("dev_{name}"))
        .map_err(|error| unauthorized(&format!("`token` is no name: {error}")))?;
    Ok(Known { id, name: name.into(), avatar: "".into() })
}

fn unauthorized(message: &str) -> Refusal {
    Refusal::new(ErrorCode::Unauthorized, message)
}

#[cfg(test)]
mod tests {
    use presence::hello::Secret;

    use super::*;

    fn login(kind: IdentityKind, token: &str) -> Credentials {
        Credentials { kind, token: Some(Secret::new(token)), name: None, guest: None }
    }

    #[test]
    fn anyone_comes_in_by_name_where_dev_is_on_and_nowhere_else() {
        let known = Identity { dev: true }.check(&login(IdentityKind::Dev, "ada")).unwrap();
        assert_eq!((known.id.as_str(), &*known.name), ("dev_ada", "ada"));
        let refused = Identity { dev: false }.check(&login(IdentityKind::Dev, "ada")).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unauthorized);
    }

    #[test]
    fn a_name_that_is_no_id_is_refused() {
        for name in ["", "a b", "a\u{202e}b", &"x".repeat(61)] {
            let refused = Identity { dev: true }.check(&login(IdentityKind::Dev, name));
            assert_eq!(refused.unwrap_err().code, ErrorCode::Unauthorized, "{name:?}");
        }
    }
}
