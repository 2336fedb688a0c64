// What is asked of a training run. No torch here. Thread safety: values.
#pragma once

#include <string>

#include "monitoring/metrics.h"
#include "trainer/loop/config.h"
#include "trainer/loop/run_folder.h"

namespace atelier::loop {

struct TrainRequest {
  RunConfig config;
  Path data;
  Path run;
  ResumeChoice resume;
  monitoring::BuildVersions build;
  std::string command;  ///< that started this run, but for --run and --resume; for messages
};

}  // namespace atelier::loop
