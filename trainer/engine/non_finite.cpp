#include "trainer/engine/non_finite.h"

#include <algorithm>
#include <array>

#include "launch/base/text.h"

namespace atelier::engine {
namespace {

constexpr std::size_t kMostSlots = 1 << 20;  // of a net

Finding finding(Suspect suspect, std::size_t index, std::int64_t values) {
  return {.suspect = suspect, .index = static_cast<std::int64_t>(index), .values = values};
}

}  // namespace

std::int64_t count_non_finite(const at::Tensor& values) {
  return torch::isfinite(values.detach()).logical_not().sum().item<std::int64_t>();
}

Finding look_at_images(std::span<const at::Tensor> images) {
  for (std::size_t i = 0; i < images.size(); ++i) {
    const std::int64_t bad = count_non_finite(images[i]);
    if (bad > 0) return finding(Suspect::kImages, i, bad);
  }
  return {};
}

Finding look_at_weights(std::span<const std::unique_ptr<TrainedNet>> nets) {
  for (std::size_t i = 0; i < nets.size(); ++i) {
    const std::vector<StateTensor> weights = nets[i]->weight_state();
    for (std::size_t slot = 0; slot < weights.size(); ++slot) {
      const std::int64_t bad = count_non_finite(weights[slot].value);
      if (bad > 0) return finding(Suspect::kWeights, i * kMostSlots + slot, bad);
    }
  }
  return {};
}

Finding look_at_losses(const objectives::Phase& phase, std::span<const objectives::Losses> losses) {
  for (std::size_t i = 0; i < phase.terms.size(); ++i) {
    for (const objectives::Losses& of_batch : losses) {
      for (const objectives::LossTerm& term : of_batch.terms) {
        const bool bad = term.name == phase.terms[i] && count_non_finite(term.value) > 0;
        if (bad) return finding(Suspect::kLoss, i, 1);
      }
    }
  }
  return {};
}

Finding look_at_gradients(const FlatParameters& flat) {
  for (std::size_t slot = 0; slot < flat.trained_slots(); ++slot) {
    const std::int64_t bad =
        count_non_finite(FlatParameters::view(flat.gradients(), flat.slots()[slot]));
    if (bad > 0) return finding(Suspect::kGradient, slot, bad);
  }
  return {};
}

std::string name_of(const Finding& finding, const objectives::Phase& phase,
                    std::span<const std::unique_ptr<TrainedNet>> nets) {
  const auto index = static_cast<std::size_t>(finding.index);
  switch (finding.suspect) {
    case Suspect::kNone:
      return "a value was not finite, which a second computation did not give again";
    case Suspect::kImages:
      return text("the images of micro-batch ", index);
    case Suspect::kWeights:
      return text("weight ", nets[index / kMostSlots]->weight_state()[index % kMostSlots].name);
    case Suspect::kLoss:
      return text("loss term ", phase.terms.at(index));
    case Suspect::kGradient: {
      const auto trained = std::find_if(nets.begin(), nets.end(),
                                        [&](const auto& net) { return net->name() == phase.net; });
      return text("the gradient of ", (*trained)->flat().slots()[index].name);
    }
  }
  return "";
}

std::string describe(const NonFinite& found) {
  if (found.values == 0) {
    return text("net ", found.net, ": ", found.what);
  }
  return text("net ", found.net, ": ", found.what, " held ", found.values,
              found.values == 1 ? " value that is" : " values that are", " not finite on rank ",
              found.rank);
}

Culprit find_culprit(comm::Comm& comm, const Finding& mine) {
  constexpr std::size_t kWords = 3;
  const auto world = static_cast<std::size_t>(comm.world());
  const std::array<std::int64_t, kWords> words{static_cast<std::int64_t>(mine.suspect), mine.index,
                                               mine.values};
  std::vector<std::int64_t> all(kWords * world);
  comm.all_gather({words.data(), kWords, comm::DType::kInt64},
                  {all.data(), all.size(), comm::DType::kInt64},
                  {.label = "search for values that are not finite"});
  Culprit culprit;
  for (std::size_t rank = 0; rank < world; ++rank) {
    const Finding theirs{.suspect = static_cast<Suspect>(all[rank * kWords]),
                         .index = all[rank * kWords + 1],
                         .values = all[rank * kWords + 2]};
    if (theirs.suspect == Suspect::kNone) continue;
    if (culprit.finding.suspect == Suspect::kNone || theirs.suspect < culprit.finding.suspect) {
      culprit = {.finding = theirs, .rank = static_cast<int>(rank)};
    }
  }
  return culprit;
}

}  // namespace atelier::engine
