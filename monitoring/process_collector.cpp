#include "monitoring/process_collector.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <prometheus/metric_family.h>
#include <sys/resource.h>
#include <unistd.h>

namespace atelier::monitoring {
namespace {

using prometheus::MetricType;

void add(std::vector<prometheus::MetricFamily>& out, MetricType type, const char* name,
         const char* help, double value) {
  prometheus::ClientMetric metric;
  metric.counter.value = value;
  metric.gauge.value = value;
  out.push_back({name, help, type, {std::move(metric)}});
}

double ticks_to_seconds(double ticks) { return ticks / static_cast<double>(sysconf(_SC_CLK_TCK)); }

/// Unix time at which the host booted; 0 when unknown.
double boot_time() {
  std::ifstream file("/proc/stat");
  std::string key;
  while (file >> key) {
    double value = 0;
    if (key == "btime" && file >> value) return value;
    file.ignore(1 << 20, '\n');
  }
  return 0;
}

/// Columns of proc(5) /proc/self/stat from the third on: the second, the name, may hold spaces.
std::vector<double> stat_columns() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  const std::size_t end_of_name = line.rfind(')');
  if (end_of_name == std::string::npos) return {};
  std::istringstream rest(line.substr(end_of_name + 1));
  std::string state;
  rest >> state;
  std::vector<double> columns{0};
  for (double value = 0; rest >> value;) columns.push_back(value);
  return columns;
}

void add_stat(std::vector<prometheus::MetricFamily>& out) {
  const std::vector<double> columns = stat_columns();
  const auto column = [&](std::size_t number) {
    return columns[number - 3];
  };  // proc(5) counts 1..
  if (columns.size() < 22) return;
  add(out, MetricType::Counter, "process_cpu_seconds_total", "User and system CPU time spent.",
      ticks_to_seconds(column(14) + column(15)));
  add(out, MetricType::Gauge, "process_threads", "Threads of the process.", column(20));
  add(out, MetricType::Gauge, "process_virtual_memory_bytes", "Virtual memory size.", column(23));
  add(out, MetricType::Gauge, "process_resident_memory_bytes", "Resident memory size.",
      column(24) * static_cast<double>(sysconf(_SC_PAGESIZE)));
  const double booted = boot_time();
  if (booted > 0) {
    add(out, MetricType::Gauge, "process_start_time_seconds", "Unix time of the process's start.",
        booted + ticks_to_seconds(column(22)));
  }
}

// proc(5) /proc/self/io; other users' and some containers' cannot be read.
void add_storage(std::vector<prometheus::MetricFamily>& out) {
  std::ifstream file("/proc/self/io");
  std::string key;
  for (double value = 0; file >> key >> value;) {
    if (key != "read_bytes:") continue;
    add(out, MetricType::Counter, "process_storage_read_bytes_total",
        "Bytes that reading fetched from storage; what else was read came from the page cache.",
        value);
  }
}

}  // namespace

std::vector<prometheus::MetricFamily> collect_process_metrics() {
  std::vector<prometheus::MetricFamily> out;
  add_stat(out);
  add_storage(out);
  std::error_code problem;
  std::size_t open = 0;
  for (std::filesystem::directory_iterator at("/proc/self/fd", problem), end; !problem && at != end;
       at.increment(problem)) {
    ++open;
  }
  if (!problem) {
    add(out, MetricType::Gauge, "process_open_fds", "Open file descriptors.",
        static_cast<double>(open));
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    add(out, MetricType::Gauge, "process_max_fds", "Limit of open file descriptors.",
        static_cast<double>(limit.rlim_cur));
  }
  return out;
}

}  // namespace atelier::monitoring
