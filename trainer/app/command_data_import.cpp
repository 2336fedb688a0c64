#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <thread>

#include <unistd.h>

#include "data/import/import.h"
#include "launch/base/text.h"
#include "launch/comm/together.h"
#include "trainer/app/data_commands.h"

namespace atelier::app {
namespace {

// One line that rewrites itself on a terminal; nothing where the output is a file.
class ProgressLine {
 public:
  explicit ProgressLine(const Clock& clock) : clock_(clock) {}

  void show(const data::ImportProgress& progress) {
    if (::isatty(fileno(stderr)) == 0) return;
    if (phase_ != progress.phase) {
      phase_ = progress.phase;
      start_ = clock_.now();
    }
    const double took = seconds(clock_.now() - start_);
    const auto done = static_cast<double>(progress.done);
    std::string line = text(progress.phase, " ", progress.done, "/", progress.total);
    if (took > 0.5 && done > 0) {
      const double left = took / done * static_cast<double>(progress.total - progress.done);
      line += text(", ", human_count(static_cast<std::int64_t>(done / took)), " images/s, ",
                   human_seconds(left), " left");
    }
    std::fprintf(stderr, "\r%s\033[K%s", line.c_str(),
                 progress.done == progress.total ? "\r\033[K" : "");
  }

 private:
  const Clock& clock_;
  std::string phase_;
  Clock::Steady::time_point start_{};
};

data::ImageSize parse_size(const std::string& size) {
  data::ImageSize parsed;
  char rest = 0;
  // NOLINTNEXTLINE(cert-err34-c): the count of fields is checked, and overflow ends below 1
  const int fields = std::sscanf(size.c_str(), "%5dx%5d%c", &parsed.width, &parsed.height, &rest);
  if (fields == 2 && parsed.height > 0 && parsed.width > 0) return parsed;
  throw ConfigError(text("--size '", size, "' is not WIDTHxHEIGHT in pixels."),
                    "For example --size 64x64.");
}

data::SplitShares parse_shares(const std::string& shares) {
  int train = 0;
  data::SplitShares parsed;
  char rest = 0;
  // NOLINTNEXTLINE(cert-err34-c): as above
  const int fields =
      std::sscanf(shares.c_str(), "%3d:%3d:%3d%c", &train, &parsed.valid, &parsed.test, &rest);
  if (fields == 3 && train > 0 && train + parsed.valid + parsed.test == 100) return parsed;
  throw ConfigError(text("--split '", shares, "' is not TRAIN:VALID:TEST in percent, 100 in all."),
                    "For example --split 90:5:5.");
}

/// The ranks of a job as they import together.
class Ranks final : public data::Crew {
 public:
  explicit Ranks(comm::Comm& comm) : comm_(comm) {}
  [[nodiscard]] int rank() const override { return comm_.rank(); }
  [[nodiscard]] int world() const override { return comm_.world(); }
  [[nodiscard]] std::vector<std::string> exchange(const std::string& own) override {
    return comm::gather_texts(comm_, own);
  }

 private:
  comm::Comm& comm_;
};

constexpr std::chrono::hours kLongestImport{24 * 30};  // a rank may wait for the others' share
constexpr std::size_t kShownSkips = 20;

std::vector<std::string> words(const std::array<const char*, 3>& names) {
  return {names.begin(), names.end()};
}

struct ImportCommand {
  std::string source;
  std::string out;
  std::string size;
  std::string fit = data::kFitNames[0];
  std::string filter = data::kFilterNames[0];
  std::string storage = data::kStorageNames[0];
  std::string split;
  std::string report;
  int channels = 0;
  std::string on_error = "fail";
  bool no_shuffle = false;
  data::ImportOptions options;
};

void tell(const data::ImportReport& report, const ImportCommand& command, double took,
          Context& context) {
  std::string all;
  for (const data::SkippedFile& skipped : report.skipped)
    all += text(skipped.name, "\t", skipped.reason, "\n");
  if (!command.report.empty()) write_atomically(context.files, command.report, all);
  for (std::size_t i = 0; i < std::min(kShownSkips, report.skipped.size()); ++i)
    context.log.warn(text("Skipped '", report.skipped[i].name, "': ", report.skipped[i].reason));
  if (report.skipped.size() > kShownSkips) {
    context.log.warn(text("... and ", report.skipped.size() - kShownSkips, " more; ",
                          command.report.empty() ? "--report FILE lists all."
                                                 : text("'", command.report, "' lists all.")));
  }
  for (const std::string& note : report.notes) context.log.info(text("Taken: ", note, "."));
  if (report.kept > 0) {
    context.log.info(text("Went on with ", human_count(static_cast<std::int64_t>(report.kept)),
                          " images that an earlier import had decoded."));
  }
  context.log.info(text("Imported ", human_count(static_cast<std::int64_t>(report.imported)),
                        " images into '", command.out, "' in ", human_seconds(took), "; ",
                        report.skipped.size(), " skipped, ", report.hidden,
                        " hidden files passed over."));
}

ExitCode import(const ImportCommand& command, Context& context) {
  data::ImportOptions options = command.options;
  options.source = command.source;
  options.out = command.out;
  if (!command.size.empty()) options.size = parse_size(command.size);
  if (!command.split.empty()) options.shares = parse_shares(command.split);
  if (command.channels != 0) options.channels = command.channels;
  options.packing = data::packing_from_names(command.storage, command.fit, command.filter).value();
  options.on_error = command.on_error == "skip" ? data::OnError::kSkip : data::OnError::kFail;
  options.shuffle = !command.no_shuffle;
  ProgressLine line(context.clock);
  if (context.comm.rank() == 0)
    options.progress = [&line](const data::ImportProgress& progress) { line.show(progress); };
  context.comm.set_default_timeout(kLongestImport);
  Ranks ranks(context.comm);
  const auto start = context.clock.now();
  const data::ImportReport report =
      data::import_images(context.files, context.clock, options, ranks);
  if (ranks.rank() == 0) tell(report, command, seconds(context.clock.now() - start), context);
  return ExitCode::kDone;
}

void add_import_geometry(CLI::App& import_command, ImportCommand& command) {
  import_command.add_option("--size", command.size,
                            "WIDTHxHEIGHT in pixels; else all images must have one size");
  import_command
      .add_option("--fit", command.fit,
                  "crop to the middle, pad with black, or stretch to that size")
      ->check(CLI::IsMember(words(data::kFitNames)))
      ->capture_default_str();
  import_command.add_option("--filter", command.filter, "how pixels are resampled")
      ->check(CLI::IsMember(words(data::kFilterNames)))
      ->capture_default_str();
  import_command.add_option("--channels", command.channels, "1 or 3; else what most images have")
      ->check(CLI::IsMember({1, 3}));
  import_command
      .add_option("--storage", command.storage,
                  "raw pixels; deflate, for flat pictures; encoded: the image files as they are")
      ->check(CLI::IsMember(words(data::kStorageNames)))
      ->capture_default_str();
  import_command.add_flag("--xflip", command.options.mirror,
                          "also each training image with left and right swapped");
}

void add_import_choice(CLI::App& import_command, ImportCommand& command) {
  import_command.add_option("--split", command.split,
                            "TRAIN:VALID:TEST in percent; else the source's own splits");
  import_command.add_option("--limit", command.options.limit, "images at most, drawn at random");
  import_command.add_option("--dataset", command.options.arrays.images,
                            "name of the array that holds the images");
  import_command.add_option("--labels", command.options.arrays.labels,
                            "name of the array that holds the labels; NAME:K is its column K");
  import_command.add_option("--on-error", command.on_error, "fail, or skip and report")
      ->check(CLI::IsMember({"fail", "skip"}))
      ->capture_default_str();
  import_command.add_option("--report", command.report,
                            "file to write: what was skipped, and why, a line each");
}

}  // namespace

void add_data_import(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<ImportCommand>();
  options->options.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  CLI::App* import_command = group.add_subcommand(
      "import",
      "Turn images into a dataset: a folder or archive of JPEG, PNG and WebP files (class "
      "folders,\n"
      "WebDataset, StyleGAN's dataset.json), numpy arrays, HDF5, the files of MNIST or CIFAR.\n"
      "Folders train, valid (or val) and test are kept as splits; the next folder is the class.\n"
      "Killed and started again, it goes on. Several ranks share the work:\n"
      "  mpirun -n 4 atelier data import photos.zip --out photos --size 64x64");
  import_command->add_option("source", options->source, "folder, archive or file")->required();
  import_command->add_option("--out", options->out, "dataset folder to create")->required();
  add_import_geometry(*import_command, *options);
  add_import_choice(*import_command, *options);
  import_command
      ->add_option("--shuffle-seed", options->options.shuffle_seed,
                   "of the order in which images are written")
      ->capture_default_str();
  import_command->add_flag("--no-shuffle", options->no_shuffle, "keep the order of the names");
  import_command->add_option("--threads", options->options.threads, "decoding threads of a rank")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  import_command->callback([options, &chosen] {
    chosen = [options](Context& context) { return import(*options, context); };
  });
}

}  // namespace atelier::app
