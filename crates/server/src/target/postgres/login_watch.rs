//! Watches the server's half of a login go by: how it asks for the password, and whether it lets the account in.
//!
//! The client library tells neither, and answers any way of asking: in the clear too, to whoever asks.
//!
//! Messages are a type byte, a length u32 BE that counts itself, and a body. In one of type `R` the body begins with
//! a code u32 BE that says what is asked ("Frontend/Backend Protocol", "Message Formats").

use std::io;

const AUTHENTICATION: u8 = b'R';
const CODE_OK: u32 = 0;
const CODE_CLEARTEXT_PASSWORD: u32 = 3;
const CODE_MD5_PASSWORD: u32 = 5;
const CODE_SASL: u32 = 10;

const TYPE_BYTES: usize = 1;
const LENGTH_BYTES: usize = 4;
/// As much of a message as is looked at: type, length, code.
const HEAD_BYTES: usize = TYPE_BYTES + LENGTH_BYTES + 4;

/// What has gone by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// A password is asked for.
    pub(super) asked: bool,
    /// The account is in: the password is right. What the server says afterwards is about other things.
    pub(super) authenticated: bool,
    /// Why the login was stopped, if it was.
    pub(super) stopped: Option<Stop>,
}

/// Why a login is not gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The account was let in without a password.
    NotAsked,
    /// The password is to be sent in the clear or nearly so, to a server that showed no certificate to trust.
    Unprotected,
}

/// Follows one login.
pub(super) struct LoginWatch {
    /// A certificate was verified: the password may be sent to this server in whatever way it asks.
    server_is_verified: bool,
    seen: Seen,
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// Of the message under way, what comes after its head.
    body_left: usize,
}

impl LoginWatch {
    pub(super) fn new(server_is_verified: bool) -> LoginWatch {
        let seen = Seen::default();
        LoginWatch { server_is_verified, seen, head: [0; HEAD_BYTES], head_bytes: 0, body_left: 0 }
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen
    }

    /// Takes what was read, in pieces of any size.
    ///
    /// # Errors
    /// When the login is to be stopped: the bytes must not be passed on.
    pub(super) fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            if self.seen.authenticated {
                return Ok(());
            }
            self.read_byte(*byte)?;
        }
        Ok(())
    }

    fn read_byte(&mut self, byte: u8) -> io::Result<()> {
        if self.body_left > 0 {
            self.body_left -= 1;
            return Ok(());
        }
        if let Some(place) = self.head.get_mut(self.head_bytes) {
            *place = byte;
            self.head_bytes += 1;
        }
        if self.head_bytes < TYPE_BYTES + LENGTH_BYTES {
            return Ok(());
        }
        let [kind, l0, l1, l2, l3, code @ ..] = self.head;
        let message_bytes = TYPE_BYTES + u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if self.head_bytes < message_bytes.min(HEAD_BYTES) {
            return Ok(());
        }
        let has_code = self.head_bytes == HEAD_BYTES;
        self.body_left = message_bytes.saturating_sub(self.head_bytes);
        self.head_bytes = 0;
        if kind == AUTHENTICATION && has_code { self.judge(u32::from_be_bytes(code)) } else { Ok(()) }
    }

    fn judge(&mut self, code: u32) -> io::Result<()> {
        match code {
            CODE_OK if !self.seen.asked => return self.stop(Stop::NotAsked),
            CODE_OK => self.seen.authenticated = true,
            CODE_CLEARTEXT_PASSWORD | CODE_MD5_PASSWORD if !self.server_is_verified => {
                return self.stop(Stop::Unprotected);
            }
            CODE_CLEARTEXT_PASSWORD | CODE_MD5_PASSWORD | CODE_SASL => self.seen.asked = true,
            // The further steps of SASL; what else there is the client library knows or refuses.
            _ => {}
        }
        Ok(())
    }

    fn stop(&mut self, why: Stop) -> io::Result<()> {
        self.seen.stopped = Some(why);
        Err(io::Error::other("the login is not safe to go on with"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";
    const CLEARTEXT: &[u8] = b"R\0\0\0\x08\0\0\0\x03";
    const MD5: &[u8] = b"R\0\0\0\x0c\0\0\0\x05salt";
    const SASL: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
    const SASL_FINAL: &[u8] = b"R\0\0\0\x0a\0\0\0\x0cv=";
    const EMPTY: &[u8] = b"N\0\0\0\x04";
    /// An error whose text looks like the message that lets an account in.
    const ERROR: &[u8] = b"E\0\0\0\x0eR\0\0\0\x08\0\0\0\0\0";

    /// What is seen of the messages, whatever pieces they come in, and whether the login was gone on with.
    fn seen(server_is_verified: bool, messages: &[&[u8]]) -> (Seen, bool) {
        let bytes = messages.concat();
        let mut of_sizes = (1..=bytes.len()).map(|size| {
            let mut watch = LoginWatch::new(server_is_verified);
            let went_on = bytes.chunks(size).all(|piece| watch.read(piece).is_ok());
            (watch.seen(), went_on)
        });
        let first = of_sizes.next().unwrap();
        assert!(of_sizes.all(|other| other == first), "pieces of other sizes are seen otherwise");
        first
    }

    #[test]
    fn a_login_by_scram_is_seen_to_its_end() {
        let asked = Seen { asked: true, ..Seen::default() };
        assert_eq!(seen(false, &[EMPTY, SASL, SASL_FINAL]), (asked, true));
        assert_eq!(seen(false, &[SASL, SASL_FINAL, OK]), (Seen { authenticated: true, ..asked }, true));
        assert_eq!(seen(false, &[SASL, ERROR]), (asked, true));
        assert_eq!(seen(false, &[SASL, OK, ERROR]), (Seen { authenticated: true, ..asked }, true));
    }

    #[test]
    fn a_server_that_asks_for_nothing_gets_no_further() {
        let stopped = Seen { stopped: Some(Stop::NotAsked), ..Seen::default() };
        assert_eq!(seen(true, &[OK]), (stopped, false));
        assert_eq!(seen(false, &[EMPTY, OK]), (stopped, false));
    }

    #[test]
    fn a_password_that_is_sent_so_that_others_could_use_it_is_for_a_verified_server_only() {
        let stopped = Seen { stopped: Some(Stop::Unprotected), ..Seen::default() };
        for asking in [CLEARTEXT, MD5] {
            assert_eq!(seen(false, &[asking]), (stopped, false));
            let authenticated = Seen { asked: true, authenticated: true, stopped: None };
            assert_eq!(seen(true, &[asking, OK]), (authenticated, true));
        }
    }
}
