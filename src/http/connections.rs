//! The connections that are open: how many of one address, for how long one may stay without a whole request, and
//! for how long an answer may stay unread.
//!
//! A trusted proxy is nobody's address, so that its connections are not counted by it. What comes beyond is closed
//! before anything of it is read, over TLS before the handshake, which has a time limit of its own. The server gives a
//! client time for the head of the first request of a connection alone; here every next one is watched as well. A client that sends requests ahead of their answers is cut soon, since the server takes in all that have come
//! before it answers one. Reads and writes nothing.

use std::collections::HashMap;
use std::net::{IpAddr, Shutdown, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_service::apply_fn_factory;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Extensions, Service, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::rt::net::TcpStream;
use actix_web::rt::spawn;
use actix_web::web::Bytes;
use actix_web::{Error, HttpResponse};
use futures_util::FutureExt;
use futures_util::future::{Either, ready};
use ipnet::IpNet;
use socket2::SockRef;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::address::is_in;
use crate::flow::{Limit, Pressure};
use crate::model::network;

/// What the system keeps of answers that are not read yet, in bytes; it takes twice as many. Left alone it takes
/// megabytes, and a client that sends requests ahead and reads nothing has them all answered at once.
const UNREAD: usize = 64 * 1024;
/// What the system takes of a client before it is read, in bytes; it keeps twice as many. What has come is made into
/// requests all at once, each of which takes a hundred times what the shortest are sent as. The longest body still
/// arrives within four seconds from where a round trip takes a tenth of one.
const UNTAKEN: usize = 8 * 1024;
/// How many requests may come on a connection before the answers to those before them. Browsers, SDKs and proxies
/// send none such.
const AHEAD: usize = 16;
/// How often connections are looked through.
const PERIOD: Duration = Duration::from_secs(1);

/// A head is late from this long before its time on: the server reads the time twice a second.
const EARLY: Duration = Duration::from_millis(500);

tokio::task_local! {
    /// The connection that the task serves.
    static SERVED: Arc<Open>;
}

/// Has the connections that come to `listener` take little before it is read.
pub(super) fn take_little(listener: &TcpListener) {
    // A system that cannot be told does without.
    let _told = SockRef::from(listener).set_recv_buffer_size(UNTAKEN);
}

/// What holds for the connections of a listener.
pub(super) struct Terms {
    /// How many one address may have at once.
    pub(super) most: usize,
    /// Whose are not counted by address.
    pub(super) trusted: Vec<IpNet>,
    /// After how long without a byte taken by the client the connection is given up.
    pub(super) unread: Duration,
    /// How long the head of the first request may take.
    pub(super) head: Duration,
    /// After how long without a request under way the connection is given up.
    pub(super) quiet: Duration,
}

/// The connections of a listener.
pub(super) struct Connections {
    terms: Terms,
    pressure: Arc<Pressure>,
    began: Instant,
    open: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    number: u64,
    by_number: HashMap<u64, Weak<Open>>,
    of: HashMap<IpAddr, usize>,
}

impl Connections {
    /// On `terms`, counted in `pressure`.
    pub(super) fn new(terms: Terms, pressure: Arc<Pressure>) -> Arc<Self> {
        Arc::new(Self {
            terms,
            pressure,
            began: Instant::now(),
            open: Mutex::default(),
        })
    }

    /// Takes in a connection that opened, if there is a place for it.
    fn arrived(self: &Arc<Self>, stream: &TcpStream) -> Option<Arc<Open>> {
        let socket = SockRef::from(stream);
        // Only the system knows whether the client takes what was sent; a system that cannot be told does without.
        let _told = socket.set_tcp_user_timeout(Some(self.terms.unread));
        let _told = socket.set_send_buffer_size(UNREAD);
        let peer = stream.peer_addr().ok().map(|peer| peer.ip());
        let counted = peer.filter(|peer| !is_in(*peer, &self.terms.trusted));
        let handle = stream.as_fd().try_clone_to_owned().ok();
        let open = self.admit(counted.map(network), handle);
        if open.is_none() {
            self.pressure.turn_away(Limit::ConnectionsOfAddress);
        }
        open
    }

    /// A place for one more of `address`, if there is one.
    fn admit(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        handle: Option<OwnedFd>,
    ) -> Option<Arc<Open>> {
        let mut table = self.table();
        if let Some(address) = address {
            let count = table.of.entry(address).or_default();
            if *count >= self.terms.most {
                return None;
            }
            *count += 1;
        }
        table.number = table.number.wrapping_add(1);
        let number = table.number;
        let open = Arc::new(Open {
            connections: Arc::clone(self),
            number,
            address,
            handle,
            greeted: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            quiet_since: AtomicU64::new(self.now()),
            read_since: AtomicBool::new(true),
            ahead: AtomicUsize::new(0),
        });
        table.by_number.insert(number, Arc::downgrade(&open));
        self.pressure.connected();
        Some(open)
    }

    /// Closes what stays without a request for too long, until the task is dropped.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.close_quiet(self.now());
        }
    }

    fn close_quiet(&self, now: u64) {
        let quiet = u64::try_from(self.terms.quiet.as_millis()).unwrap_or(u64::MAX);
        // Dropped, the last of a connection needs the table.
        let open: Vec<Arc<Open>> = {
            let table = self.table();
            table.by_number.values().filter_map(Weak::upgrade).collect()
        };
        for one in open {
            let since = one.quiet_since.load(Ordering::Relaxed);
            let idle = one.requests.load(Ordering::Relaxed) == 0;
            if idle && one.is_greeted() && now.saturating_sub(since) > quiet {
                one.late();
                one.close();
            }
        }
    }

    /// Milliseconds since these connections are watched.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `served`, whose connections are counted from the moment that they are taken; those that are too many end then.
/// `cut` says by which limit one ended.
pub(super) fn counted<S>(
    connections: &Arc<Connections>,
    served: S,
    cut: fn(&S::Error) -> Option<Limit>,
) -> impl ServiceFactory<
    TcpStream,
    Config = (),
    Response = (),
    Error = S::Error,
    InitError = S::InitError,
> + use<S>
where
    S: ServiceFactory<TcpStream, Config = (), Response = ()>,
{
    let connections = Arc::clone(connections);
    apply_fn_factory(served, move |stream: TcpStream, served: &S::Service| {
        let Some(open) = connections.arrived(&stream) else {
            return Either::Left(ready(Ok(())));
        };
        let serving = SERVED.scope(Arc::clone(&open), served.call(stream));
        Either::Right(serving.map(move |ended| {
            open.ended(ended.as_ref().err().and_then(cut));
            ended
        }))
    })
}

/// Has the requests of the connection that is being served know it, since they may come now.
pub(super) fn known(of: &mut Extensions) {
    if let Ok(open) = SERVED.try_with(Arc::clone) {
        open.greet();
        of.insert(open);
    }
}

/// A connection that is open; ends with it.
pub(super) struct Open {
    connections: Arc<Connections>,
    number: u64,
    address: Option<IpAddr>,
    /// A second handle on the socket; the first one is the server's.
    handle: Option<OwnedFd>,
    /// Whether requests may come: over TLS the handshake is over.
    greeted: AtomicBool,
    /// Whether a request has come.
    asked: AtomicBool,
    /// Whether it is counted as one whose head came too late.
    cut: AtomicBool,
    /// Requests whose answer is not yet given.
    requests: AtomicUsize,
    /// Since when there is none.
    quiet_since: AtomicU64,
    /// Whether the server can have read of it since the last answer was made.
    read_since: AtomicBool,
    /// How many requests came before the answer to the one before them.
    ahead: AtomicUsize,
}

impl Open {
    /// Takes in one more request; `false` where too many came ahead of their answers, and the connection is closed.
    fn begins(&self) -> bool {
        self.asked.store(true, Ordering::Relaxed);
        let is_ahead = !self.read_since.load(Ordering::Relaxed);
        let ahead = self
            .ahead
            .fetch_add(usize::from(is_ahead), Ordering::Relaxed);
        if ahead + usize::from(is_ahead) <= AHEAD {
            return true;
        }
        if ahead == AHEAD {
            self.connections.pressure.turn_away(Limit::RequestsAhead);
        }
        self.close();
        false
    }

    /// Notes that an answer is made. The server does not read between an answer and a request that has come already,
    /// so that such a request begins before any other task has its turn.
    fn answered(self: &Arc<Self>) {
        self.read_since.store(false, Ordering::Relaxed);
        let open = Arc::clone(self);
        spawn(async move { open.read_since.store(true, Ordering::Relaxed) });
    }

    /// Notes that requests may come from now on.
    fn greet(&self) {
        self.quiet_since
            .store(self.connections.now(), Ordering::Relaxed);
        self.greeted.store(true, Ordering::Relaxed);
    }

    fn is_greeted(&self) -> bool {
        self.greeted.load(Ordering::Relaxed)
    }

    /// Counts the connection, once, as one on which no whole head came in time.
    fn late(&self) {
        if !self.cut.swap(true, Ordering::Relaxed) {
            self.connections.pressure.turn_away(Limit::SlowHeads);
        }
    }

    /// Counts what the connection ended by: a limit, or the server's patience with its first head.
    fn ended(&self, by: Option<Limit>) {
        if let Some(limit) = by {
            self.connections.pressure.turn_away(limit);
            return;
        }
        let since = self.quiet_since.load(Ordering::Relaxed);
        let waited = Duration::from_millis(self.connections.now().saturating_sub(since));
        let asked = self.asked.load(Ordering::Relaxed);
        if self.is_greeted() && !asked && waited + EARLY >= self.connections.terms.head {
            self.late();
        }
    }

    fn close(&self) {
        if let Some(handle) = &self.handle {
            let _closed = SockRef::from(handle).shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.pressure.disconnected();
        let mut table = self.connections.table();
        table.by_number.remove(&self.number);
        let Some(address) = self.address else { return };
        if let Some(count) = table.of.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                table.of.remove(&address);
            }
        }
    }
}

/// A request under way on its connection.
struct Busy(Arc<Open>);

impl Busy {
    fn on(open: &Arc<Open>) -> Self {
        open.requests.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let now = self.0.connections.now();
        self.0.quiet_since.store(now, Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Marks the connection of a request as busy until the answer's body was given to the server.
pub(super) async fn mark(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<Answer>, Error> {
    let open = request.conn_data::<Arc<Open>>().map(Arc::clone);
    if open.as_ref().is_some_and(|open| !open.begins()) {
        // Nobody gets it.
        let response = HttpResponse::TooManyRequests().finish();
        return Ok(request
            .into_response(response)
            .map_body(|_, body| Answer { body, _busy: None }));
    }
    let busy = open.as_ref().map(Busy::on);
    let response = next.call(request).await;
    if let Some(open) = &open {
        open.answered();
    }
    let response = response?;
    Ok(response.map_body(|_, body| Answer {
        body: body.boxed(),
        _busy: busy,
    }))
}

/// A body that keeps its connection busy.
pub(super) struct Answer {
    body: BoxBody,
    _busy: Option<Busy>,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(context)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream as Plain;

    use super::*;

    fn connections(pressure: &Arc<Pressure>) -> Arc<Connections> {
        let terms = Terms {
            most: 2,
            trusted: Vec::new(),
            unread: Duration::from_secs(1),
            head: Duration::from_secs(10),
            quiet: Duration::from_secs(15),
        };
        Connections::new(terms, Arc::clone(pressure))
    }

    #[tokio::test]
    async fn an_address_has_so_many_places_and_gets_them_back() {
        let pressure = Arc::default();
        let connections = connections(&pressure);
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let first = connections.admit(Some(one), None).unwrap();
        let second = connections.admit(Some(one), None).unwrap();
        assert!(connections.admit(Some(one), None).is_none());
        let other = connections.admit(Some("192.0.2.2".parse().unwrap()), None);
        let proxied: Vec<_> = (0..5).map(|_| connections.admit(None, None)).collect();
        assert!(other.is_some() && proxied.iter().all(Option::is_some));
        assert_eq!(pressure.connections(), 8);
        drop(first);
        assert!(connections.admit(Some(one), None).is_some());
        drop((second, other, proxied));
        assert_eq!(pressure.connections(), 0);
        let table = connections.table();
        assert!(table.of.is_empty() && table.by_number.is_empty());
    }

    #[actix_web::test]
    async fn who_waits_for_answers_may_ask_for_ever_and_who_does_not_is_cut() {
        let pressure = Arc::default();
        let connections = connections(&pressure);
        let place = connections.admit(None, None).unwrap();
        for _ in 0..100 {
            assert!(place.begins());
            place.answered();
            tokio::task::yield_now().await;
        }
        // The first of them came after an answer.
        for _ in 0..=AHEAD {
            assert!(place.begins());
            place.answered();
        }
        for _ in 0..3 {
            assert!(!place.begins(), "it is cut for good");
            tokio::task::yield_now().await;
        }
        assert_eq!(pressure.turned_away(Limit::RequestsAhead), 1);
    }

    #[tokio::test]
    async fn a_connection_without_a_request_is_closed_and_a_busy_one_is_not() {
        let connections = connections(&Arc::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = || {
            let client = Plain::connect(listener.local_addr().unwrap()).unwrap();
            client.set_nonblocking(true).unwrap();
            let (server, _) = listener.accept().unwrap();
            let place = connections.admit(None, Some(server.into())).unwrap();
            place.greet();
            (client, place)
        };
        let ((mut idle, _idle), (mut working, place)) = (open(), open());
        let busy = Busy::on(&place);
        let is_closed = |client: &mut Plain| {
            std::thread::sleep(Duration::from_millis(20));
            matches!(client.read(&mut [0]), Ok(0))
        };
        let opened = connections.now();
        connections.close_quiet(opened + 14_000);
        assert!(!is_closed(&mut idle));
        connections.close_quiet(opened + 15_001);
        assert!(is_closed(&mut idle) && !is_closed(&mut working));
        drop(busy);
        connections.close_quiet(connections.now());
        assert!(!is_closed(&mut working), "its time begins now");
        connections.close_quiet(connections.now() + 15_001);
        assert!(is_closed(&mut working));
    }
}
