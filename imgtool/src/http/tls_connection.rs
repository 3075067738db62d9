//! TLS over a connection, by rustls' settings that are ours: ureq's own connector has no say in
//! which certificates are taken.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::Error;
use ureq::unversioned::transport::time::Duration as Wait;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

/// Wraps connections for https in TLS.
#[derive(Debug)]
pub(super) struct TlsConnector {
    /// Nothing for a server that is only spoken to without TLS.
    pub(super) config: Option<Arc<ClientConfig>>,
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        let (true, Some(config)) = (details.needs_tls(), &self.config) else {
            return Ok(Some(Either::A(transport)));
        };
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::Tls("the host's name is none that a certificate could have"))?;
        let mut connection = ClientConnection::new(config.clone(), name)?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        shake_hands(&mut connection, &mut socket, details.timeout)?;
        Ok(Some(Either::B(TlsTransport {
            buffers: LazyBuffers::new(
                details.config.input_buffer_size(),
                details.config.output_buffer_size(),
            ),
            stream: StreamOwned::new(connection, socket),
        })))
    }
}

/// Agrees on keys, all within `timeout`, however slowly bytes come.
fn shake_hands(
    connection: &mut ClientConnection,
    socket: &mut TransportAdapter,
    timeout: NextTimeout,
) -> Result<(), Error> {
    let started = Instant::now();
    while connection.is_handshaking() {
        let after = match timeout.after {
            Wait::Exact(allowed) => match allowed.checked_sub(started.elapsed()) {
                Some(left) if !left.is_zero() => Wait::Exact(left),
                _ => return Err(Error::Timeout(timeout.reason)),
            },
            Wait::NotHappening => Wait::NotHappening,
        };
        socket.set_timeout(NextTimeout { after, ..timeout });
        if connection.wants_write() {
            connection.write_tls(socket)?;
        } else if connection.read_tls(socket)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        } else if let Err(problem) = connection.process_new_packets() {
            // What we don't like about it, for the server's log, if it still listens.
            let _ = connection.write_tls(socket);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem).into());
        }
    }
    Ok(())
}

/// A connection in TLS.
pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTransport").finish_non_exhaustive()
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        self.stream.write_all(&self.buffers.output()[..amount])?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
