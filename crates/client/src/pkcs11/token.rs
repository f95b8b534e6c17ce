//! A key in a token that signs for this process: opened once, asked from any thread, found again after it was away.
//!
//! The session lives behind a [`Desk`], because a session serves one caller at a time and a device may not answer.

use super::{
    KeyUri, TokenError,
    desk::Desk,
    session::{self, Held},
};
use crate::Passphrase;
use cryptoki::error::Error as Cryptoki;
use std::time::Duration;
use tallystick_protocol::{Algorithm, PublicKey, SigningKey};

/// A key in a token. Cheap to clone; the session ends with the last clone.
#[derive(Clone)]
pub struct TokenKey {
    uri: KeyUri,
    token: String,
    public: PublicKey,
    patience: Duration,
    desk: Desk<Worker>,
}

/// The thread's own: the session, and what is needed to open it again.
struct Worker {
    uri: KeyUri,
    token: String,
    public: PublicKey,
    pin: Option<Passphrase>,
    held: Option<Held>,
    /// The PIN was refused: it is not tried again.
    refused: Option<TokenError>,
}

impl TokenKey {
    /// Finds the token, logs in and finds the key. `pin` is asked, with the token's label, unless the name has a `pin-source` or the
    /// token asks for it itself. A signature may take as long as `patience`.
    ///
    /// # Errors
    /// When `pin` gives none, or the module, the token or the key is not there or says no.
    pub fn open<E: From<TokenError>>(
        uri: &KeyUri,
        patience: Duration,
        pin: impl FnOnce(&str) -> Result<Passphrase, E>,
    ) -> Result<Self, E> {
        let place = session::find(uri)?;
        let pin = pin_of(uri, &place, pin)?;
        let held = place.key(place.log_in(pin.as_ref(), false)?)?;
        let (token, public) = (place.token, held.public);
        let worker = Worker { uri: uri.clone(), token: token.clone(), public, pin, held: Some(held), refused: None };
        let desk = Desk::open(worker, patience, Worker::probe).map_err(|error| TokenError::Refused {
            token: token.clone(),
            what: "start a thread",
            error: error.to_string(),
        })?;
        Ok(Self { uri: uri.clone(), token, public, patience, desk })
    }

    /// Its public half.
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The key as everything that signs takes it.
    pub fn signing_key(&self) -> SigningKey {
        let key = self.clone();
        SigningKey::elsewhere(self.public, move |message| {
            let message = message.to_vec();
            key.ask("sign", move |held| held.sign(&message)).map_err(|error| error.to_string())
        })
    }

    /// What was written beside the key in the token under `label`, by [`TokenKey::set_note`]. One note as a rule; two after a crash
    /// while a new one was written.
    ///
    /// # Errors
    /// When the token is away or says no.
    pub fn notes(&self, label: &'static str) -> Result<Vec<Vec<u8>>, TokenError> {
        self.ask("show a data object", move |held| Ok(held.notes(label)?.into_iter().map(|(_, text)| text).collect()))
    }

    /// Writes `text` beside the key in the token, for whoever uses the key next, on this machine or another; then removes what was
    /// written before.
    ///
    /// # Errors
    /// When the token is away or says no; one that cannot be written to holds no such note.
    pub fn set_note(&self, label: &'static str, text: &[u8]) -> Result<(), TokenError> {
        let text = text.to_vec();
        self.ask_worker(move |worker| worker.write(label, &text))
    }

    fn ask<T: Send + 'static>(
        &self,
        what: &'static str,
        act: impl Fn(&Held) -> Result<T, Cryptoki> + Send + 'static,
    ) -> Result<T, TokenError> {
        self.ask_worker(move |worker| worker.act(what, act))
    }

    fn ask_worker<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Worker) -> Result<T, TokenError> + Send + 'static,
    ) -> Result<T, TokenError> {
        let silent = || TokenError::Silent {
            token: self.token.clone(),
            uri: self.uri.to_string(),
            ms: self.patience.as_millis(),
        };
        self.desk.ask(job).unwrap_or_else(|| Err(silent()))
    }
}

fn pin_of<E: From<TokenError>>(
    uri: &KeyUri,
    place: &session::Place,
    ask: impl FnOnce(&str) -> Result<Passphrase, E>,
) -> Result<Option<Passphrase>, E> {
    if place.asks_itself {
        return Ok(None);
    }
    match &uri.pin_source {
        Some(file) => Ok(Some(Passphrase::read(file).map_err(|error| TokenError::pin(&place.token, &error))?)),
        None => ask(&place.token).map(Some),
    }
}

/// Makes a key in the token that a name tells; gives its public half. `pin` as for [`TokenKey::open`].
///
/// # Errors
/// When there is such a key already, or the module or the token is not there or says no.
pub fn generate<E: From<TokenError>>(
    uri: &KeyUri,
    algorithm: Algorithm,
    pin: impl FnOnce(&str) -> Result<Passphrase, E>,
) -> Result<PublicKey, E> {
    let place = session::find(uri)?;
    let pin = pin_of(uri, &place, pin)?;
    let session = place.log_in(pin.as_ref(), true)?;
    Ok(place.make(session, algorithm)?.public)
}

impl Worker {
    /// Asks the token for something, to see how long that takes. If it says that something is wrong, whoever asks next is told what.
    fn probe(&mut self) {
        let _ = self.act("show the key", Held::is_there);
    }

    /// Acts in the session; a session that fails is opened again once.
    fn act<T>(&mut self, what: &'static str, act: impl Fn(&Held) -> Result<T, Cryptoki>) -> Result<T, TokenError> {
        if let Ok(done) = act(self.held()?) {
            return Ok(done);
        }
        self.held = None;
        let done = act(self.held()?);
        done.map_err(|error| {
            self.held = None;
            TokenError::of(&error, &self.token, &self.uri, what)
        })
    }

    fn held(&mut self) -> Result<&Held, TokenError> {
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        let held = match self.held.take() {
            Some(held) => held,
            None => self.open(false).inspect_err(|error| {
                if error.is_of_the_pin() {
                    self.refused = Some(error.clone());
                }
            })?,
        };
        Ok(self.held.insert(held))
    }

    fn open(&self, writes: bool) -> Result<Held, TokenError> {
        let place = session::find(&self.uri).map_err(|error| match error {
            TokenError::NoToken { uri, .. } => TokenError::Removed { token: self.token.clone(), uri },
            other => other,
        })?;
        let held = place.key(place.log_in(self.pin.as_ref(), writes)?)?;
        if held.public != self.public {
            let why = format!("it is {} now and was {} before", held.public, self.public);
            return Err(TokenError::Kind { token: self.token.clone(), uri: self.uri.to_string(), why });
        }
        Ok(held)
    }

    /// Most sessions only read: one that writes is opened for the purpose.
    fn write(&mut self, label: &str, text: &[u8]) -> Result<(), TokenError> {
        self.held()?;
        let held = self.open(true)?;
        held.set_note(label, text).map_err(|error| TokenError::of(&error, &self.token, &self.uri, "hold a data object"))
    }
}
