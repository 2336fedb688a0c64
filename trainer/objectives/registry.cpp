#include "trainer/objectives/registry.h"

#include "launch/base/error.h"
#include "trainer/objectives/families.h"

namespace atelier::objectives {
namespace {

std::unique_ptr<Objective> build(const ModelConfig& model, const ObjectiveConfig& objective,
                                 const networks::Geometry& geometry) {
  switch (model.family) {
    case Family::kAutoencoder:
      return make_autoencoder(model, objective, geometry);
    case Family::kVae:
      return make_vae(model, objective, geometry);
    case Family::kGan:
      return make_gan(model, objective, geometry);
  }
  fail_check("family", "unknown family");
}

}  // namespace

std::unique_ptr<Objective> make_objective(const ModelConfig& model,
                                          const ObjectiveConfig& objective,
                                          const networks::Geometry& geometry, std::uint64_t seed) {
  geometry.validate();
  auto made = build(model, objective, geometry);
  std::uint64_t index = 0;
  for (const NamedNet& named : made->nets()) {
    networks::initialize(*named.net, seed, index++);
    named.net->eval();
  }
  return made;
}

}  // namespace atelier::objectives
