#include "trainer/apply/compare.h"

#include <cmath>
#include <functional>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/apply/model.h"
#include "trainer/apply/reconstruct.h"
#include "trainer/apply/sample.h"
#include "trainer/quality/grid.h"

namespace atelier::apply {
namespace {

using loop::Outcome;

constexpr std::int64_t kSheetSamples = 48;
constexpr std::int64_t kSheetPairs = 24;

struct Row {
  std::string title;
  std::function<std::string(const Outcome&)> cell;  ///< empty: the run has no such quantity
};

// Metric names without their labels would be ambiguous, so rows name them in full.
std::string indicator(const Outcome& outcome, const std::string& name, int digits) {
  const auto found = outcome.indicators.find(name);
  if (found == outcome.indicators.end() || !std::isfinite(found->second)) return "";
  return fixed(found->second, digits);
}

std::int64_t all_parameters(const Outcome& outcome) {
  std::int64_t sum = 0;
  for (const auto& [net, count] : outcome.parameters) sum += count;
  return sum;
}

Row indicator_row(const std::string& title, const std::string& name, int digits) {
  return {title, [name, digits](const Outcome& o) { return indicator(o, name, digits); }};
}

std::vector<Row> rows() {
  std::vector<Row> all{
      {"family", [](const Outcome& o) { return o.family; }},
      {"state",
       [](const Outcome& o) {
         return text(loop::name_of(o.ending), " at step ", human_count(o.step));
       }},
      {"parameters", [](const Outcome& o) { return human_count(all_parameters(o)); }},
      {"training time", [](const Outcome& o) { return human_seconds(o.training_seconds); }},
      {"images/s",
       [](const Outcome& o) { return human_count(std::llround(o.images_per_second())); }},
      {"ranks x threads, precision",
       [](const Outcome& o) { return text(o.world, " x ", o.threads, ", ", o.precision); }}};
  all.push_back(
      indicator_row("reconstruction PSNR, held-out (dB)", "reconstruction_psnr_model", 2));
  all.push_back(indicator_row("- of the mean image (dB)", "reconstruction_psnr_mean_image", 2));
  all.push_back(indicator_row("pairwise distance / real (1 is best)", "sample_diversity", 3));
  all.push_back(
      indicator_row("nearest real to each fake / real", "nearest_neighbour_fake_to_real", 3));
  all.push_back(
      indicator_row("nearest fake to each real / real", "nearest_neighbour_real_to_fake", 3));
  all.push_back(indicator_row("pixel deviation / real (1 is best)", "feature_std_pixels", 3));
  all.push_back(indicator_row("active latent units (share)", "active_units", 2));
  all.push_back(indicator_row("KL (nats per image)", "kl_nats", 1));
  return all;
}

}  // namespace

std::vector<ComparedRun> read_runs(FileSystem& files, const std::vector<Path>& folders) {
  std::vector<ComparedRun> runs;
  for (const Path& folder : folders) {
    const Path path = loop::RunPaths{folder}.outcome();
    if (!files.exists(path)) {
      throw DataError(text("'", folder.string(), "' has no outcome.json: no run has ended there."),
                      "Let the run finish, or stop it with SIGUSR2.");
    }
    runs.push_back({.name = folder.lexically_normal().filename().string(),
                    .folder = folder,
                    .outcome = loop::read_outcome(files, path)});
  }
  return runs;
}

std::string comparison_table(const std::vector<ComparedRun>& runs) {
  std::string head = "| |";
  std::string rule = "|---|";
  for (const ComparedRun& run : runs) {
    head += text(" ", run.name, " |");
    rule += "---|";
  }
  std::string table = text(head, "\n", rule, "\n");
  for (const Row& row : rows()) {
    std::string line = text("| ", row.title, " |");
    bool any = false;
    for (const ComparedRun& run : runs) {
      const std::string cell = row.cell(run.outcome);
      any = any || !cell.empty();
      line += text(" ", cell.empty() ? "-" : cell, " |");
    }
    if (any) table += line + "\n";
  }
  return table;
}

at::Tensor comparison_sheet(FileSystem& files, Log& log, const std::vector<ComparedRun>& runs,
                            const Path& data) {
  const data::Dataset dataset = data::Dataset::open(files, data);
  std::vector<at::Tensor> columns;
  for (const ComparedRun& run : runs) {
    Model model = load_model(files, log, run.folder);
    const quality::GridOptions options{.scale = quality::visible_scale(model.geometry.width)};
    std::vector<at::Tensor> panels;
    if (model.objective->samples()) {
      panels.push_back(quality::with_caption(
          quality::grid(sample(model, kSheetSamples, 1), options), run.name + ": samples", 2));
    }
    if (model.objective->code() != objectives::Code::kNone) {
      const ReconstructionResult pairs =
          reconstruct(model, dataset, {.split = data::Split::kValid, .shown = kSheetPairs});
      panels.push_back(quality::with_caption(
          quality::pairs_grid(pairs.originals_NCHW, pairs.reconstructions_NCHW, options),
          run.name + ": images over reconstructions", 2));
    }
    columns.push_back(quality::stacked(panels));
  }
  return quality::side_by_side(columns);
}

}  // namespace atelier::apply
