// A run of two ranks without any training: sets a value in every family, serves both ranks, writes
// the discovery file, stats.jsonl and event files, then waits until its standard input ends.
//   monitored_program RUN_DIR DISCOVERY_DIR
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <limits>

#include "monitoring/discovery.h"
#include "monitoring/exporter.h"
#include "monitoring/metrics.h"
#include "monitoring/records.h"
#include "monitoring/tensorboard.h"

namespace {

using namespace atelier;
using namespace atelier::monitoring;
using namespace std::chrono_literals;

/// Two pixels, red and blue.
constexpr unsigned char kPng[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48,
    0x44, 0x52, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x00, 0x00,
    0x00, 0x7b, 0x40, 0xe8, 0xdd, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x44, 0x41, 0x54, 0x78,
    0x9c, 0x63, 0xf8, 0xcf, 0x00, 0x04, 0xff, 0x01, 0x07, 0x00, 0x01, 0xff, 0xe2, 0x23,
    0x9e, 0x59, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};

MetricsOptions options(int rank) {
  MetricsOptions out;
  out.rank = rank;
  out.world_size = 2;
  out.local_rank = rank;
  out.host = "localhost";
  out.build.version = "0.1.0";
  out.nets = {"G", "D"};
  return out;
}

/// What the typed setters of a step and an evaluation leave behind.
void train_step(Metrics& metrics, std::int64_t step) {
  PhaseDurations phases{};
  phases.fill(1ms + std::chrono::microseconds(step));
  metrics.finish_step({step, static_cast<double>(step) / 30, 32, phases});
  for (const char* net : {"G", "D"}) {
    metrics.set_loss(net, "adversarial", 1.0 / static_cast<double>(step + (net[0] == 'G' ? 2 : 6)));
    for (const Family family : {Family::kGradientNorm, Family::kParameterNorm}) {
      metrics.set(family, 1e-7 * static_cast<double>(step), {net});
    }
    metrics.set(Family::kLearningRate, 1.5e-3, {net});
  }
  metrics.set_loss("D", "r1", std::numeric_limits<double>::quiet_NaN());
}

void evaluate(Metrics& metrics) {
  for (int i = 0; i <= static_cast<int>(Indicator::kPsnrMeanImage); ++i) {
    metrics.set_indicator(Indicator(i), 0.9 + 0.013 * i, "E");
    metrics.set_held_out(Indicator(i), 7.7 * i);
  }
  metrics.set(Family::kQualityEvalInterval, 60);
  metrics.finish_quality_eval(1234ms);
}

void other_families(Metrics& metrics) {
  metrics.set_run_info({"gan-32", "shapes \"a\\b\"", "fp32", "0123456789abcdef"});
  metrics.set_state(RunState::kTraining);
  metrics.heartbeat();
  metrics.set_total(Family::kCollectives, 12);
  metrics.add(Family::kAllreduceBytes, 1 << 20);
  metrics.set(Family::kDataQueueBatches, 3);
  metrics.set(Family::kDataQueueCapacity, 4);
  metrics.set_total(Family::kDataReadBytes, 123456789);
  metrics.set_total(Family::kDataStageSeconds, 1.5, {"unpack"});
  metrics.add(Family::kCheckpoints, 2, {"success"});
  metrics.observe(Family::kCheckpointDuration, 0.25, {"write"});
  metrics.add(Family::kCheckpointStallSeconds, 0.003);
  metrics.set(Family::kCheckpointSizeBytes, 5e6);
  metrics.set(Family::kCheckpointInterval, 30);
  metrics.set(Family::kCheckpointRetained, 2);
  metrics.set(Family::kCheckpointFreeBytes, 1e11);
  metrics.add(Family::kSignals, 1, {"SIGUSR2"});
}

/// An attempt that trains the steps (from, to].
void attempt(std::int64_t number, std::int64_t from, std::int64_t to, const Path& run_dir,
             const Clock& clock, Log& log, Metrics& metrics) {
  StatsWriter stats(run_dir / "stats.jsonl", number, log);
  EventWriter events(run_dir, from + 1, clock, log);
  metrics.set_progress(from, 100, 0);
  for (std::int64_t step = from + 1; step <= to; ++step) {
    train_step(metrics, step);
    if (step == to) evaluate(metrics);
    const Snapshot snapshot = metrics.take_snapshot(step);
    stats.append(snapshot);
    events.scalars(snapshot);
  }
  events.image(to, {"fakes", 1, 2, 3, {reinterpret_cast<const char*>(kPng), sizeof kPng}});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const Path run_dir = argv[1];
  LocalFileSystem files;
  files.create_directories(run_dir);
  ProcessLog log({});
  const SystemClock clock;
  Metrics zero(options(0), clock);
  Metrics one(options(1), clock);
  MonitoringConfig config;
  config.port = 0;
  const Exporter zero_exporter(config, {}, zero, log);
  const Exporter one_exporter(config, {}, one, log);
  Discovery discovery(files, log, {"run-1", run_dir, argv[2]});
  for (Metrics* metrics : {&zero, &one}) other_families(*metrics);
  train_step(one, 6);
  attempt(1, 0, 5, run_dir, clock, log, zero);
  attempt(2, 3, 6, run_dir, clock, log, zero);
  discovery.publish({zero_exporter.target(), one_exporter.target()});
  std::cout << zero_exporter.target() << '\n' << one_exporter.target() << std::endl;
  while (std::cin.get() != EOF) {
  }
  discovery.remove();
  return 0;
}
