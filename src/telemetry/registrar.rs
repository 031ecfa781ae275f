//! Puts metrics into a registry, with those that every process has.

use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
};

use crate::clock::Clock;
use crate::memory;

/// Puts families into a registry.
#[derive(Default)]
pub(super) struct Registrar(Registry);

impl Registrar {
    #[expect(
        clippy::expect_used,
        reason = "the names are constants of this file; a test makes them all"
    )]
    pub(super) fn add<C: Collector + Clone + 'static>(&self, family: prometheus::Result<C>) -> C {
        let family = family.expect("a metric's name and labels are well formed");
        let boxed = Box::new(family.clone());
        self.0.register(boxed).expect("each metric is added once");
        family
    }

    pub(super) fn counters(&self, (name, help): (&str, &str), labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauges(&self, (name, help): (&str, &str), labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn histograms(&self, opts: HistogramOpts, labels: &[&str]) -> HistogramVec {
        self.add(HistogramVec::new(opts, labels))
    }

    /// What Prometheus' client guidelines ask of every process, and this build's version.
    pub(super) fn process(self, clock: &Clock) -> Registry {
        let build_info = Opts::new("cloakroom_build_info", "1, labelled with the version.");
        let build_info = self.add(GaugeVec::new(build_info, &["version"]));
        build_info
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1.0);

        let started = self.add(Gauge::new(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
        ));
        let started_ms = u64::try_from(clock.now().unix_ms()).unwrap_or(0);
        started.set(Duration::from_millis(started_ms).as_secs_f64());

        self.add(
            Gauge::new(
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
            )
            .map(ResidentMemory),
        );
        self.0
    }
}

/// Read when it is asked for, and left out when the kernel does not tell.
#[derive(Clone)]
struct ResidentMemory(Gauge);

impl Collector for ResidentMemory {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(bytes) = memory::resident_bytes() else {
            return Vec::new();
        };
        let kib = u32::try_from(bytes / 1_024).unwrap_or(u32::MAX);
        self.0.set(f64::from(kib) * 1_024.0);
        self.0.collect()
    }
}
