//! A connection, in the clear or under TLS.

use crate::tls;
use postrider_core::mail::TlsFacts;
use postrider_core::outbound::TlsDemand;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::{client, server};

/// A connection of any kind.
#[derive(Debug)]
pub enum Stream<S> {
    /// In the clear.
    Plain(S),
    /// TLS, we are the server.
    Server(Box<server::TlsStream<S>>),
    /// TLS, we are the client.
    Client(Box<client::TlsStream<S>>),
    /// A handshake failed, or the connection is over: nothing more can be said.
    Broken,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// Turns TLS on as a server.
    ///
    /// # Errors
    /// Why the handshake failed; the connection is then of no use.
    pub async fn secure_as_server(&mut self, config: &Arc<rustls::ServerConfig>) -> Result<TlsFacts, String> {
        let Self::Plain(stream) = std::mem::replace(self, Self::Broken) else {
            return Err("TLS is on already".to_owned());
        };
        let (stream, facts) = tls::accept(config, stream).await?;
        *self = Self::Server(Box::new(stream));
        Ok(facts)
    }

    /// Turns TLS on as a client.
    ///
    /// # Errors
    /// Why the handshake failed; the connection is then of no use.
    pub async fn secure_as_client(
        &mut self,
        client: &tls::Client,
        demand: &TlsDemand,
    ) -> Result<TlsFacts, String> {
        let Self::Plain(stream) = std::mem::replace(self, Self::Broken) else {
            return Err("TLS is on already".to_owned());
        };
        let (stream, facts) = client.handshake(demand, stream).await?;
        *self = Self::Client(Box::new(stream));
        Ok(facts)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// Says that nothing more comes. In the clear that is the end of the connection: it is closed, and nothing else need be called. TLS has an
    /// alert for it (RFC 8446 6.1), without which the peer could not tell our end from a cut.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn end(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => *self = Self::Broken,
            Self::Server(_) | Self::Client(_) => self.shutdown().await?,
            Self::Broken => {}
        }
        Ok(())
    }
}

fn broken<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Server(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Client(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Broken => broken(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, octets),
            Self::Server(stream) => Pin::new(stream).poll_write(cx, octets),
            Self::Client(stream) => Pin::new(stream).poll_write(cx, octets),
            Self::Broken => broken(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Server(stream) => Pin::new(stream).poll_flush(cx),
            Self::Client(stream) => Pin::new(stream).poll_flush(cx),
            Self::Broken => broken(),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Server(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Client(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Broken => broken(),
        }
    }
}
