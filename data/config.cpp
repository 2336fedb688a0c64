#include "data/config.h"

namespace atelier::data {

void describe(ConfigFields& fields, LoadingConfig& config) {
  fields.choice("data.order", config.order,
                {{"full", OrderMode::kFull}, {"block", OrderMode::kBlock}},
                {"full: any image may follow any other; block: few pieces of the files are in use "
                 "at once, for datasets larger than the memory"});
  fields.integer("data.lanes", config.lanes, {1, 1 << 16},
                 {"of block order: parts of the dataset that images come from in turn"});
  fields.integer("data.window", config.window, {1, 1 << 16},
                 {"of block order: pieces of about 1 MiB that a lane shuffles together"});
  fields.choice("data.check", config.check,
                {{"off", Check::kOff}, {"once", Check::kOnce}, {"always", Check::kAlways}},
                {"when images are compared with their hashes", true});
  fields.choice(
      "data.on_damage", config.on_damage,
      {{"fail", OnDamage::kFail}, {"skip", OnDamage::kSkip}, {"substitute", OnDamage::kSubstitute}},
      {"what becomes of an image that is damaged: the run ends, its batch is smaller, or "
       "another takes its place",
       true});
  fields.choice("data.access", config.access,
                {{"auto", Access::kAuto},
                 {"map", Access::kMap},
                 {"read", Access::kRead},
                 {"direct", Access::kDirect}},
                {"map files into memory, read them, or read whole blocks past the system's cache; "
                 "auto: by file system, size and order",
                 true});
  fields.integer("data.readers", config.readers, {1, 256},
                 {"threads that read, of each stream of images", true});
  fields.integer("data.read_ahead", config.read_ahead, {1, 1000},
                 {"batches that are read ahead", true});
}

LoaderOptions loader_options(const LoadingConfig& config) {
  LoaderOptions options;
  options.order = config.order;
  options.lanes = static_cast<std::uint64_t>(config.lanes);
  options.window = static_cast<std::uint64_t>(config.window);
  options.reading = {.access = config.access, .check = config.check};
  options.on_damage = config.on_damage;
  options.readers = static_cast<std::size_t>(config.readers);
  options.depth = static_cast<std::size_t>(config.read_ahead);
  return options;
}

}  // namespace atelier::data
