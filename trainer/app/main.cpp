// Reads the command line, makes what all subcommands share, runs one, and turns every error into
// one message and an exit code.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "launch/base/text.h"
#include "launch/comm/make_comm.h"
#include "launch/comm/mpi_session.h"
#include "trainer/app/commands.h"

namespace atelier::app {

void print(const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!written || std::fflush(stdout) != 0) {
    throw IoError("Cannot write to standard output.", "Is the disk full or the reader gone?");
  }
}

namespace {

constexpr std::chrono::hours kLongestCommand{24};

// Where it has no name the C library looks at its file for each time that it converts, and an
// archive has several of each image.
void name_time_zone() { ::setenv("TZ", ":/etc/localtime", 0); }

// How ranks talk, and where they compute.
struct BackendChoice {
  std::string name = "auto";
  bool share_gpu = false;
};

std::unique_ptr<CLI::App> command_line(Action& chosen, BackendChoice& backend) {
  auto app = std::make_unique<CLI::App>(
      "Atelier trains image generators (AE, VAE, GAN), data-parallel under mpirun.\n\n"
      "  atelier data import photos.zip --out photos\n"
      "  mpirun -n 2 atelier train gan-32 --data photos --run runs/gan\n"
      "  atelier sample runs/gan --count 64 --out samples.png\n",
      "atelier");
  app->require_subcommand(1);
  app->add_option(
         "--backend", backend.name,
         "how ranks talk, and where they compute: nccl (on GPUs), mpi (on CPUs), self (a process "
         "alone), auto (under mpirun nccl where each rank has a GPU, else mpi)")
      ->capture_default_str();
  app->add_flag("--share-gpu", backend.share_gpu,
                "with --backend nccl: ranks may have one GPU together (slow; for tests)");
  add_data(*app, chosen);
  add_train(*app, chosen);
  add_sample(*app, chosen);
  add_reconstruct(*app, chosen);
  add_compare(*app, chosen);
  add_checkpoint(*app, chosen);
  add_health(*app, chosen);
  add_doctor(*app, chosen);
  add_bench(*app, chosen);
  add_config(*app, chosen);
  add_version(*app, chosen);
  return app;
}

// A word the command does not know explains more than the required one that is missing for it.
std::string problem_of(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<std::string> unknown = app.remaining(true);
  if (unknown.empty()) return text(error.what(), ".");
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  std::vector<std::string> names;
  for (const CLI::Option* option : command->get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  for (const CLI::App* below : command->get_subcommands({})) names.push_back(below->get_name());
  const std::string meant = nearest(unknown.front(), names);
  return text("'", unknown.front(), "' is no option of ", command->get_name(),
              meant.empty() ? "." : text("; did you mean '", meant, "'?"));
}

// The peers may be inside a collective, so a failing rank has to end the job.
int fail(comm::Comm* comm, ProcessLog& log, const std::string& problem, ExitCode code) {
  if (comm != nullptr && comm->world() > 1) {
    log.error_to_files(problem);
    comm->abort(problem, static_cast<int>(code));
  }
  log.error(problem);
  return static_cast<int>(code);
}

// What ranks do not share is done by rank 0 while the others wait for it.
ExitCode run_once(const Action& action, Context& context) {
  context.comm.set_default_timeout(kLongestCommand);
  return context.comm.rank() == 0 ? action(context) : ExitCode::kDone;  // the end is a barrier
}

/// What a command needs of the job.
enum class Needs : std::uint8_t {
  kOneRank,  ///< rank 0 does it, the others wait
  kRanks,    ///< all share the work, on the host
  kDevices   ///< and use GPUs where they have some
};

Needs needs_of(const CLI::App& app) {
  for (const char* const command : {"train", "bench", "doctor"})
    if (app.got_subcommand(command)) return Needs::kDevices;
  const bool imports =
      app.got_subcommand("data") && app.get_subcommand("data")->got_subcommand("import");
  return imports ? Needs::kRanks : Needs::kOneRank;
}

comm::Backend backend_of(const std::string& name, Needs needs) {
  const comm::Backend backend = comm::parse_backend(name);
  if (backend != comm::Backend::kAuto || needs == Needs::kDevices) return backend;
  return comm::started_by_mpirun() ? comm::Backend::kMpi : comm::Backend::kSelf;
}

int run(const Action& action, Needs needs, const BackendChoice& backend) {
  ProcessLog starting({});
  std::unique_ptr<comm::Comm> comm;
  std::unique_ptr<ProcessLog> log;
  try {
    comm::MpiSession session(comm::started_by_mpirun());
    comm = comm::make_comm(
        session, {.backend = backend_of(backend.name, needs), .share_device = backend.share_gpu});
    log = std::make_unique<ProcessLog>(
        ProcessLogOptions{.rank = comm->rank(), .world = comm->world(), .file = {}});
    LocalFileSystem files;
    SystemClock clock;
    Context context{.files = files, .clock = clock, .log = *log, .comm = *comm};
    const ExitCode code = needs == Needs::kOneRank ? run_once(action, context) : action(context);
    comm->close();
    comm.reset();
    session.close();
    return static_cast<int>(code);
  } catch (const Error& error) {
    return fail(comm.get(), log ? *log : starting, error.what(), error.exit_code());
  } catch (const std::exception& error) {
    return fail(comm.get(), log ? *log : starting,
                text("Unexpected: ", error.what(), " This is a defect; please report it."),
                ExitCode::kInternal);
  }
}

}  // namespace
}  // namespace atelier::app

int main(int argc, char** argv) {
  atelier::app::keep_freed_memory();
  atelier::app::name_time_zone();
  atelier::app::Action chosen;
  atelier::app::BackendChoice backend;
  auto needs = atelier::app::Needs::kDevices;
  const auto app = atelier::app::command_line(chosen, backend);
  try {
    app->parse(argc, argv);
    needs = atelier::app::needs_of(*app);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app->exit(error);
    // Told like every other error: once, however many ranks were started.
    chosen = [problem = atelier::app::problem_of(*app, error)](auto&) -> atelier::ExitCode {
      throw atelier::ConfigError(problem, "See `atelier --help` and `atelier COMMAND --help`.");
    };
  }
  return atelier::app::run(chosen, needs, backend);
}
