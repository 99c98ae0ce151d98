//! Starting a daemon: look at what is there, reach NATS, then turn the loop.

mod deadline;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::connection::State;
use ccm_guard::{Armed, BackendState, Launch, VipName};
use ccm_health::metrics::Counts;
use ccm_history::History;
use ccm_role::{Adopted, Event, Machine, OpId, Status};
use ccm_systemd_backend::{Bus, Unit};
use ccm_types::{BootClock, Epoch};
use ccm_wal_ltx::local::{self, Local, Paths};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::backend::{
    self, BackendPort, GuardLink, GuardProgram, Measured, Restarts, Runner, Watched,
};
use crate::chronicle::Chronicle;
use crate::dispatch::{Dispatch, LANE_QUEUE, ToVip};
use crate::event_loop::{EventLoop, Inputs, Shown};
use crate::files::{Files, View};
use crate::http::{self, HttpNode, Known, Problems};
use crate::join::{Joined, Patience};
use crate::metrics::{Leaderships, Steps, watch_renewals, watch_replication};
use crate::observe::Observer;
use crate::outages::Outages;
use crate::recording::Recording;
use crate::services::Announced;
use crate::supervisor::{Heartbeat, Report};
use crate::tasks::Tasks;
use crate::vip::{self, VipPort};
use crate::words::{self, NodeConfig};
use crate::{
    BackendKind, Controls, Place, RunError, Settings, Supervisor, Tunables, lease, presence,
    service,
};

/// Events that may wait for the loop.
const EVENT_QUEUE: usize = 256;

/// Commands of operators that may wait for the loop.
const COMMAND_QUEUE: usize = 16;

/// What the files have to come to rest when the daemon ends: what a replica has of the last
/// commits is made durable, so that it is whole without the bucket.
const FILES_REST_WITHIN: Duration = Duration::from_secs(10);

/// How long the last events may take to reach the history.
const HISTORY_WITHIN: Duration = Duration::from_secs(1);

/// What the tasks have to end when the daemon does.
const TASKS_END_WITHIN: Duration = Duration::from_secs(5);

/// What is under way on this host before NATS is reached.
struct Here {
    local: Arc<Local>,
    /// The highest epoch that the files know of.
    epoch: Epoch,
    port: Arc<BackendPort>,
    vip: Option<Arc<VipPort>>,
    serving: watch::Sender<bool>,
    /// Whether nothing of the backend may be here.
    off: watch::Sender<bool>,
    found: Option<Armed>,
    /// Keeps its deadline until the machine does.
    _kept: DropGuard,
    counts: Arc<Counts>,
    restarts: Arc<Restarts>,
    http: Arc<HttpNode>,
    http_problems: watch::Receiver<Problems>,
    history: History,
    /// Data files that an earlier run has set aside.
    aside: BTreeSet<PathBuf>,
}

/// Runs a daemon until it is told to end.
///
/// # Errors
/// [`RunError`] when it cannot start, or has to give up. A backend that still runs then is ended
/// by the guard when its lease does.
pub async fn run(settings: Settings, controls: Controls) -> Result<(), RunError> {
    let Controls { mut shutdown, tunables, place, supervisor } = controls;
    let (tasks, deaths) = Tasks::new();
    let (events, inbox) = mpsc::channel(EVENT_QUEUE);
    let instance = nuid::next().to_string();
    let history = History::new(settings.cluster.clone(), settings.node.clone(), &*instance);
    let mut heartbeat = Heartbeat::new(supervisor.clone(), settings.backend.stop_timeout);
    let started = async {
        let outages = Outages::new(history.clone());
        let here = look_around(&settings, &tunables, &events, &tasks, history).await?;
        let mut patience = Patience::new(&mut shutdown, &supervisor);
        let own = here.epoch;
        let reaching = Joined::reach(&settings, &instance, own, &outages, &mut patience);
        let Some(joined) = heartbeat.until(reaching).await? else {
            heartbeat.stop(BootClock.now());
            return end_early(&here).await;
        };
        let daemon = Daemon {
            settings: &settings,
            tunables,
            place,
            supervisor,
            instance,
            tasks: &tasks,
            events,
            here,
            joined,
        };
        daemon.run(&mut heartbeat, shutdown, deaths, inbox).await
    };
    let result = started.await;
    heartbeat.stop(BootClock.now());
    tasks.stop(TASKS_END_WITHIN).await;
    result
}

/// Asked to end before NATS was reached: an adopted backend cannot be handed over.
async fn end_early(here: &Here) -> Result<(), RunError> {
    release_vip(here.vip.as_deref()).await;
    if here.found.is_some() {
        let outcome = here.port.stop().await;
        tracing::info!(?outcome, "the backend was stopped; the cluster was not reached");
    }
    Ok(())
}

/// Opens the files, finds or starts the guard, and sees whether a backend runs under a lease.
async fn look_around(
    settings: &Settings,
    tunables: &watch::Receiver<Tunables>,
    events: &mpsc::Sender<Event>,
    tasks: &Tasks,
    history: History,
) -> Result<Here, RunError> {
    let files = &settings.files;
    let (data, replica) = (files.data.clone(), files.replica.clone());
    let paths = Paths { data, replica, owner: files.owner };
    let open = move || {
        let local = Local::open(paths)?;
        let epoch = local.highest_epoch()?;
        let aside = local::diverged(&local.paths().data)?;
        Ok::<_, local::LocalError>((local, epoch, aside))
    };
    let opened = tokio::task::spawn_blocking(open).await;
    let (local, epoch, aside) =
        opened.map_err(|_| RunError::TaskDied { name: "opening the files" })??;
    let aside = aside.into_iter().map(|file| file.path).collect();
    let local = Arc::new(local);
    let backend = &settings.backend;
    let watched = watched(&tunables.borrow())?;
    let (watching, watched) = watch::channel(watched);
    tasks.spawn("probe settings", follow_probe(tunables.clone(), watching));
    let serving = watch::Sender::new(false);
    let guard = match guard_program(settings) {
        Some(program) => Some((backend::meet(&program).await?, program)),
        None => None,
    };
    let hello = guard.as_ref().map(|(met, _)| met.hello.clone());
    let former_vips = guard.as_ref().map_or_else(Vec::new, |(met, _)| met.former_vips.clone());
    let link = guard.map(|(met, program)| {
        GuardLink::start(met, program, serving.subscribe(), events.clone(), tasks)
    });
    let runner = runner(settings, link).await?;
    let port = Arc::new(BackendPort {
        runner,
        watched,
        start_timeout: backend.start_timeout,
        stop_timeout: backend.stop_timeout,
    });
    let armed = hello.as_ref().filter(|hello| !hello.expired).and_then(|h| h.armed.clone());
    let running = runs(hello.map(|hello| hello.backend), &port).await;
    let found = armed.filter(|_| running);
    let vip = settings.vip.clone().map(VipPort::new);
    let counts = Arc::new(Counts::new(&settings.cluster, &settings.node));
    look_at_vip(vip.as_ref(), &former_vips, found.is_some(), &counts, tasks).await;
    let (problems, http_problems) = watch::channel(Problems::new());
    let off = watch::Sender::new(found.is_none());
    let kept = deadline::keep(found.as_ref(), &port, vip.as_ref(), &off, tasks);
    backend::admit(settings, &port, &off, &counts, &problems, tasks).await?;
    let (seen, shown) = (Arc::clone(&port), http_problems.clone());
    let (told, counting) = (history.clone(), Arc::clone(&counts));
    let http = HttpNode::new(settings.clone(), seen, vip.clone(), counting, shown, told);
    http::start(settings.http, &http, &problems, tasks);
    let restarts = Restarts::new(Arc::clone(&counts));
    Ok(Here {
        local,
        epoch,
        port,
        vip,
        serving,
        off,
        found,
        _kept: kept,
        counts,
        restarts,
        http,
        http_problems,
        history,
        aside,
    })
}

/// Whether a backend is there, by what the guard says of it.
async fn runs(said: Option<BackendState>, port: &BackendPort) -> bool {
    match said {
        Some(BackendState::Running { .. }) => true,
        Some(BackendState::External) => {
            let Measured { status, .. } = port.measure().await;
            is_up(status)
        }
        Some(BackendState::Stopped | BackendState::Stopping | BackendState::Exited { .. })
        | None => false,
    }
}

/// Nothing of an earlier run stays on the interface, except under a lease that goes on: this does
/// not wait for NATS.
async fn look_at_vip(
    vip: Option<&Arc<VipPort>>,
    former: &[VipName],
    goes_on: bool,
    counts: &Arc<Counts>,
    tasks: &Tasks,
) {
    for name in former {
        vip::forget(name).await;
    }
    let Some(vip) = vip else { return };
    tasks.spawn("virtual IP watch", vip::watch(Arc::clone(vip), Arc::clone(counts)));
    if !goes_on {
        release_vip(Some(vip)).await;
    }
}

/// Takes the address off; the machine asks for the same again before anything else.
async fn release_vip(vip: Option<&VipPort>) {
    let Some(vip) = vip else { return };
    if let Err(error) = vip.release().await {
        let problem = crate::outcome::words(&error);
        tracing::warn!(%problem, "the virtual IP of an earlier run may still be here");
    }
}

/// Whether a backend with this measured status is there.
fn is_up(status: &str) -> bool {
    matches!(status, "running" | "unhealthy" | "starting")
}

/// The guard of a process backend is its parent, so there is always one.
fn guard_program(settings: &Settings) -> Option<GuardProgram> {
    let socket = settings.files.guard_socket();
    let mut args = vec![OsString::from("guard"), OsString::from("--socket"), socket.clone().into()];
    match &settings.backend.kind {
        BackendKind::Process(_) => {}
        BackendKind::Systemd(_) if !settings.guard => return None,
        BackendKind::Systemd(unit) => args.extend([OsString::from("--unit"), unit.into()]),
    }
    let vip = settings.vip.as_ref().map(vip::name);
    if let Some(vip) = &vip {
        args.push(OsString::from("--vip"));
        args.push(format!("{}/{}", vip.address, vip.prefix_len).into());
        args.extend([OsString::from("--vip-interface"), vip.interface.clone().into()]);
    }
    let program = settings.guard_program.clone();
    let launch = Launch { program, args, home: settings.guard_home.clone() };
    let is_parent = match &settings.backend.kind {
        BackendKind::Process(_) => true,
        BackendKind::Systemd(_) => false,
    };
    Some(GuardProgram { launch, socket, vip, is_parent })
}

fn watched(tunables: &Tunables) -> Result<Watched, RunError> {
    Ok(Watched { probe: tunables.probe()?, every: tunables.health_interval })
}

/// Asks the backend as it is configured at present.
async fn follow_probe(mut tunables: watch::Receiver<Tunables>, watching: watch::Sender<Watched>) {
    let of = |all: &Tunables| (all.health.clone(), all.health_interval, all.health_timeout);
    let mut old = of(&tunables.borrow_and_update());
    while tunables.changed().await.is_ok() {
        let all = tunables.borrow_and_update().clone();
        if std::mem::replace(&mut old, of(&all)) == of(&all) {
            continue;
        }
        match watched(&all) {
            Ok(watched) => drop(watching.send_replace(watched)),
            Err(error) => {
                let problem = crate::outcome::words(&error);
                tracing::warn!(%problem, "the backend is probed as before");
            }
        }
    }
}

async fn runner(settings: &Settings, link: Option<Arc<GuardLink>>) -> Result<Runner, RunError> {
    match (&settings.backend.kind, link) {
        (BackendKind::Process(argv), Some(guard)) => {
            Ok(Runner::Process { guard, argv: argv.clone() })
        }
        (BackendKind::Process(_), None) => Err(RunError::NoGuard),
        (BackendKind::Systemd(name), guard) => {
            Ok(Runner::Systemd { unit: Unit::connect(Bus::System, name).await?, guard })
        }
    }
}

/// A daemon that has everything it needs.
struct Daemon<'a> {
    settings: &'a Settings,
    tunables: watch::Receiver<Tunables>,
    place: watch::Sender<Place>,
    supervisor: Supervisor,
    instance: String,
    tasks: &'a Tasks,
    events: mpsc::Sender<Event>,
    here: Here,
    joined: Joined,
}

impl Daemon<'_> {
    async fn run(
        mut self,
        heartbeat: &mut Heartbeat,
        shutdown: mpsc::Receiver<()>,
        deaths: mpsc::Receiver<crate::tasks::TaskDied>,
        events: mpsc::Receiver<Event>,
    ) -> Result<(), RunError> {
        let (commands_in, commands) = mpsc::channel(COMMAND_QUEUE);
        let (refuse, refused) = mpsc::channel(1);
        let (view, seen) = watch::channel(View::Idle);
        let machine = Machine::new(self.machine_config());
        let (status, shown) = watch::channel(machine.status());
        let announce = Arc::new(Notify::new());
        let (recording, not_eligible) = self.recording();
        let observer = self.observer(shown, seen, not_eligible);
        let answering = Arc::clone(&observer);
        let starting =
            service::start(&self.joined, self.settings, answering, commands_in, self.tasks);
        let service = heartbeat.until(starting).await?;
        let report =
            Report { supervisor: self.supervisor.clone(), observer: Arc::clone(&observer) };
        self.tasks.spawn("service manager", report.run());
        let record = presence::Presence {
            nodes: self.joined.nodes.clone(),
            observer: Arc::clone(&observer),
            announce: Arc::clone(&announce),
            refuse,
        };
        let present = CancellationToken::new();
        let until = present.clone();
        self.tasks.spawn("presence", async move {
            until.run_until_cancelled(record.run()).await;
        });
        let announced = self.announced();
        self.tell_http(&observer, &announced, view.subscribe());
        let (announcing, until) = (announced.clone(), present.clone());
        let (role, tunables) = (status.subscribe(), self.tunables.clone());
        self.tasks.spawn("services", async move {
            until.run_until_cancelled(announcing.run(role, tunables)).await;
        });
        let marker = self.settings.files.state_dir().join("left");
        self.look_at_found(heartbeat).await;
        let start = self.start_event(marker.exists());
        let (nodes, node) = (self.joined.nodes.clone(), self.settings.node.clone());
        let (history, client) = (self.here.history.clone(), self.joined.client.clone());
        self.tasks.spawn("history", history.clone().run(client.clone(), self.joined.replicas));
        let restarts = Arc::clone(&self.here.restarts);
        let steps = Steps::new(Arc::clone(&self.here.counts), restarts);
        let (place, tunables) = (self.place.clone(), self.tunables.clone());
        let rested = CancellationToken::new();
        let dispatch = self.lanes(view, announce, marker, rested.clone());
        let inputs = Inputs { shutdown, deaths, refused, commands, events };
        let shown = Shown { status, place };
        let turning = EventLoop::new(machine, dispatch, shown, steps, recording, heartbeat);
        let ended = turning.run(inputs, start).await;
        heartbeat.stop(BootClock.now());
        // The last answers go out before the daemon does.
        service.stop().await;
        present.cancel();
        if ended.is_ok() {
            let offered = tunables.borrow().services.clone();
            tokio::join!(presence::withdraw(&nodes, &node), announced.withdraw(&offered));
        }
        if client.connection_state() == State::Connected && !history.flush(HISTORY_WITHIN).await {
            tracing::debug!("what has happened last is not in the history");
        }
        if timeout(FILES_REST_WITHIN, rested.cancelled()).await.is_err() {
            tracing::warn!(within = ?FILES_REST_WITHIN, "the files did not come to rest");
        }
        ended
    }

    /// A backend that was found running may have ended while NATS was being reached.
    async fn look_at_found(&mut self, heartbeat: &mut Heartbeat) {
        if self.here.found.is_none() {
            return;
        }
        // From here on its end is news.
        self.here.serving.send_replace(true);
        let measuring = self.here.port.measure();
        let Measured { status, .. } = heartbeat.until(measuring).await;
        if !is_up(status) {
            self.here.serving.send_replace(false);
            self.here.found = None;
        }
    }

    /// What tells the history, and why this node would not take a lease that is free.
    fn recording(&self) -> (Recording, watch::Receiver<Option<String>>) {
        let (not_eligible, shown) = watch::channel(None);
        let recording = Recording {
            node: self.settings.node.clone(),
            chronicle: Chronicle::new(self.settings.candidate),
            history: self.here.history.clone(),
            counts: Arc::clone(&self.here.counts),
            lease: self.joined.election.status(),
            not_eligible,
        };
        (recording, shown)
    }

    fn announced(&self) -> Announced {
        let Joined { client, replicas, address, .. } = &self.joined;
        Announced::new(client.clone(), self.settings, *replicas, address.parse().ok())
    }

    /// From here on the endpoints know the cluster, and what happens is counted.
    fn tell_http(
        &self,
        observer: &Arc<Observer>,
        announced: &Announced,
        view: watch::Receiver<View>,
    ) {
        let (store, services) = (self.joined.store.clone(), announced.records.clone());
        self.here.http.know(Known { observer: Arc::clone(observer), store, services });
        let (lease, counts) = (self.joined.election.status(), Arc::clone(&self.here.counts));
        self.tasks.spawn("renewal watch", watch_renewals(lease, counts));
        let counts = Arc::clone(&self.here.counts);
        self.tasks.spawn("replication watch", watch_replication(view, counts));
    }

    fn start_event(&self, left: bool) -> Event {
        let adopted = self
            .here
            .found
            .as_ref()
            .map(|armed| Adopted { epoch: armed.epoch, valid_until: armed.valid_until });
        Event::Start { adopted, left }
    }

    fn machine_config(&self) -> ccm_role::Config {
        let Settings { node, candidate, timing, backend, .. } = self.settings;
        words::machine_config(NodeConfig {
            node: node.clone(),
            candidate: *candidate,
            vip: self.here.vip.is_some(),
            timing: *timing,
            stop_timeout: backend.stop_timeout,
            start_timeout: backend.start_timeout,
        })
    }

    fn observer(
        &self,
        status: watch::Receiver<Status>,
        view: watch::Receiver<View>,
        not_eligible: watch::Receiver<Option<String>>,
    ) -> Arc<Observer> {
        Arc::new(Observer {
            settings: self.settings.clone(),
            instance: self.instance.clone(),
            address: self.joined.address.clone(),
            client: self.joined.client.clone(),
            status,
            lease: self.joined.election.status(),
            view,
            port: Arc::clone(&self.here.port),
            vip: self.here.vip.clone(),
            nodes: self.joined.nodes.clone(),
            told_full: AtomicBool::new(false),
            tunables: self.tunables.clone(),
            http: self.here.http_problems.clone(),
            history: self.here.history.clone(),
            aside: Mutex::new(self.here.aside.clone()),
            not_eligible,
            restarts: Arc::clone(&self.here.restarts),
        })
    }

    /// Starts the lanes and the listeners.
    fn lanes(
        self,
        view: watch::Sender<View>,
        announce: Arc<Notify>,
        left_marker: PathBuf,
        rested: CancellationToken,
    ) -> Dispatch {
        let Self { settings, tunables, instance, tasks, events, here, joined, .. } = self;
        let (to_files, files_queue) = mpsc::channel(LANE_QUEUE);
        let (to_backend, backend_queue) = mpsc::channel(LANE_QUEUE);
        let (files_asked, asked) = watch::channel(0);
        let files = Files {
            store: joined.store,
            node: settings.node.clone(),
            tunables,
            data: settings.files.data.clone(),
            local: here.local,
            events: events.clone(),
            view,
            asked,
            tasks: tasks.clone(),
        };
        tasks.spawn("files lane", async move {
            // Also when it dies.
            let _rested = rested.drop_guard();
            files.run(files_queue).await;
        });
        let stop_asked = watch::Sender::new(OpId(0));
        let kill_asked = watch::Sender::new(OpId(0));
        let lane = backend::Lane {
            port: Arc::clone(&here.port),
            events: events.clone(),
            stop_asked: stop_asked.subscribe(),
            kill_asked: kill_asked.subscribe(),
            serving: here.serving.clone(),
            off: here.off,
        };
        tasks.spawn("backend lane", lane.run(backend_queue));
        backend::attend(&here.port, &here.serving, &events, tasks);
        let vip = here.vip.map(|port| to_vip(port, &events, tasks));
        let leaderships = Leaderships::new(here.counts, settings.node.clone());
        tasks.spawn("lease watch", lease::forward(joined.changes, events.clone(), leaderships));
        Dispatch {
            node: settings.node.clone(),
            instance,
            timing: settings.timing,
            election: joined.election,
            found: here.found,
            port: here.port,
            stop_asked,
            kill_asked,
            files: to_files,
            files_asked,
            backend: to_backend,
            vip,
            events,
            control: joined.control,
            handover_within: settings.backend.stop_timeout + settings.timing.ttl,
            announce,
            left_marker,
            has_left: false,
            tasks: tasks.clone(),
        }
    }
}

/// Starts the lane of the virtual IP.
fn to_vip(port: Arc<VipPort>, events: &mpsc::Sender<Event>, tasks: &Tasks) -> ToVip {
    let (lane, queue) = mpsc::channel(LANE_QUEUE);
    let release_asked = watch::Sender::new(OpId(0));
    let serving = vip::Lane {
        port: Arc::clone(&port),
        events: events.clone(),
        release_asked: release_asked.subscribe(),
    };
    tasks.spawn("virtual IP lane", serving.run(queue));
    ToVip { port, lane, release_asked }
}
