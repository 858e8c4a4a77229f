// SPDX-License-Identifier: Apache-2.0
#include "pipeline/executor.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/error.h"
#include "base/rng.h"
#include "base/signals.h"
#include "fake_commands.h"
#include "pipeline/process.h"
#include "support/catch.h"

using namespace gradus;
using namespace gradus::test;
using Catch::Matchers::Contains;

namespace {

const std::string kAllRan = "l1: ran, l2: ran, report: ran";
const std::string kAllUpToDate = "l1: up to date, l2: up to date, report: up to date";

NamedDigests digests(const PipelineResult& result) {
  NamedDigests all;
  for (const StageResult& stage : result.stages) {
    for (const auto& [key, digest] : stage.outputs) all[stage.name + "." + key] = digest;
  }
  return all;
}

struct ReadRecipe {
  std::string data, out;
  template <class V>
  void visit(V& v) {
    v("data", data, "data set to read", rule::path_data);
    v("out", out, "file to write", rule::required, rule::path_output);
  }
};

// Runs the pipeline in a process of its own and returns its pid.
pid_t run_in_background(const FakeWorld& world) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  install_signal_handlers();
  int code = 99;
  try {
    code = world.run().exit_code;
  } catch (const std::exception&) {
  }
  ::_exit(code);
}

int wait_for_exit(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

TEST_CASE("stages run in order, and not again") {
  const FakeWorld world;
  const PipelineResult first = world.run();
  CHECK(first.exit_code == 0);
  CHECK(statuses(first) == kAllRan);
  CHECK(world.calls() == "train l1 \ntrain l2 \ncopy report.txt \n");
  CHECK(read_file(world / "out/report.txt") ==
        "step step rain step rain step rain \nstep step rain step rain step rain \nend\n");
  const PipelineResult second = world.run();
  CHECK(statuses(second) == kAllUpToDate);
  CHECK(world.calls().empty());
  CHECK(digests(second) == digests(first));
}

TEST_CASE("a changed recipe key runs its stage and what depends on it") {
  const FakeWorld world;
  world.run();
  const PipelineResult result = world.run({"stages.l2.recipe.train.steps=1"});
  CHECK(statuses(result) == "l1: up to date, l2: ran, report: ran");
  CHECK(reasons(result, "l2") == "recipe train.steps: 2 → 1");
  CHECK(reasons(result, "report") == "input input: its content changed");
}

TEST_CASE("what follows a stage that made the same content stays up to date") {
  const FakeWorld world;
  world.run();
  const PipelineResult result = world.run({"stages.l1.recipe.train.note=other"});
  CHECK(statuses(result) == "l1: ran, l2: up to date, report: up to date");
}

TEST_CASE("changed input files, lost and edited outputs are noticed") {
  const FakeWorld world;
  world.run();
  write_file_atomic(world / "out/report.txt", "edited");
  CHECK(reasons(world.plan(), "report") ==
        "output out: " + (world / "out/report.txt").string() + " was changed since");
  fs::remove(world / "out/report.txt");
  CHECK_THAT(reasons(world.plan(), "report"), Contains("is missing"));
  CHECK(statuses(world.run()) == "l1: up to date, l2: up to date, report: ran");
  write_file_atomic(world / "data.txt", "snow\n");
  CHECK(reasons(world.plan(), "l1") == "input data: its content changed");
  CHECK(statuses(world.run()) == kAllRan);
}

TEST_CASE("a new program version runs everything, records of a run nothing") {
  const FakeWorld world;
  world.run();
  write_file_atomic(world / "out/l1/metrics.jsonl", "other");
  CHECK(statuses(world.plan()) == kAllUpToDate);
  ExecutorOptions options = world.options();
  options.version = "2";
  const Pipeline pipeline = world.pipeline();
  const PipelineResult plan = Executor(pipeline, options).plan();
  CHECK(reasons(plan, "l1") == "program: \"1\" → \"2\"");
  CHECK(statuses(plan) == "l1: would run, l2: would run, report: would run");
}

TEST_CASE("a plan tells what would run and writes nothing") {
  const FakeWorld world;
  CHECK(statuses(world.plan()) == "l1: would run, l2: would run, report: would run");
  CHECK_FALSE(fs::exists(world / "out"));
  world.run();
  world.calls();
  CHECK(statuses(world.plan({"stages.l1.recipe.train.steps=4"})) ==
        "l1: would run, l2: may run, report: may run");
  CHECK(world.calls().empty());
}

TEST_CASE("the folder of a pipeline can be moved") {
  FakeWorld world;
  world.run();
  fs::rename(world / "out", world / "elsewhere");
  const std::string moved = "out=" + (world / "elsewhere").string();
  CHECK(statuses(world.plan({moved})) == kAllUpToDate);
  CHECK(statuses(world.run({moved, "stages.report.recipe.text=fin"})) ==
        "l1: up to date, l2: up to date, report: ran");
}

TEST_CASE("where a cache lies changes nothing") {
  const FakeWorld world;
  world.run();
  CHECK(statuses(world.plan({"stages.l1.recipe.cache=elsewhere"})) == kAllUpToDate);
}

TEST_CASE("stages can be forced and selected") {
  const FakeWorld world;
  const Pipeline pipeline = world.pipeline();
  const auto run = [&](auto change) {
    ExecutorOptions options = world.options();
    change(options);
    return statuses(Executor(pipeline, options).run());
  };
  CHECK(run([](auto& options) { options.only = "l1"; }) ==
        "l1: ran, l2: not selected, report: not selected");
  CHECK(run([](auto& options) { options.from = "l2"; }) ==
        "l1: not selected, l2: ran, report: ran");
  CHECK(run([](auto& options) { options.force = {"l2"}; }) ==
        "l1: up to date, l2: ran, report: up to date");
  CHECK_THROWS_AS(run([](auto& options) { options.only = "l4"; }), UsageError);
  CHECK_THROWS_AS(run([](auto& options) { options.only = options.from = "l1"; }), UsageError);
}

TEST_CASE("a stage alone says which input is not there") {
  const FakeWorld world;
  ExecutorOptions options = world.options();
  options.only = "l2";
  const Pipeline pipeline = world.pipeline();
  const PipelineResult result = Executor(pipeline, options).run();
  CHECK(result.exit_code == kExitUserError);
  CHECK_THAT(result.error, Contains("stage 'l2'") && Contains("does not exist yet"));
}

TEST_CASE("a refused gate stops the pipeline with exit code 4") {
  FakeWorld world;
  world.write_recipe(R"(
out: ROOT/out
stages:
  - {name: g, command: gate check, recipe: {text: forbidden, out: "${out}/g"}}
  - {name: after, command: copy, recipe: {input: "${out}/g", out: "${out}/a"}})");
  for (int i = 0; i < 2; ++i) {
    const PipelineResult result = world.run();
    CHECK(result.exit_code == kExitGateRefused);
    CHECK_THAT(result.error, Contains("stage 'g'") && Contains("gate"));
    CHECK(statuses(result) == "g: gate refused, after: not reached");
  }
  CHECK(statuses(world.run({"stages.g.recipe.text=fine"})) == "g: ran, after: ran");
}

TEST_CASE("files that the pipeline did not make are not removed") {
  const FakeWorld world;
  write_file_atomic(world / "out/l1/precious", "x");
  CHECK_THROWS_WITH(world.run(), Contains("this stage did not make it"));
  CHECK(fs::exists(world / "out/l1/precious"));
}

TEST_CASE("an output that is somebody else's is refused before any stage runs, and by a check") {
  const FakeWorld world;
  const Pipeline pipeline = world.pipeline();
  write_file_atomic(pipeline.stages[2].outputs[0].path, "x");
  CHECK_THROWS_WITH(world.run(), Contains("stage 'report'") && Contains("did not make it"));
  CHECK_THROWS_WITH(Executor(pipeline, world.options()).check(), Contains("stage 'report'"));
  CHECK(world.calls().empty());
}

TEST_CASE("each stage's recipe is checked by its command where its inputs exist") {
  const FakeWorld world;
  const Pipeline pipeline = world.pipeline();
  const PipelineResult result = Executor(pipeline, world.options()).check();
  CHECK(result.exit_code == 0);
  CHECK(statuses(result) == "l1: ok, l2: recipe ok, report: recipe ok");
  CHECK(world.calls() == "train l1 --check\n");
  CHECK_FALSE(fs::exists(world / "out"));
}

TEST_CASE("a failed check is an error") {
  FakeWorld world;
  world.write_recipe(
      "out: ROOT/out\nstages:\n  - {name: a, command: copy, recipe: {text: unsound, out: "
      "\"${out}/a\"}}\n");
  const Pipeline pipeline = world.pipeline();
  CHECK(Executor(pipeline, world.options()).check().exit_code == kExitUserError);
}

TEST_CASE("a killed stage resumes when nothing changed and starts over when its key did") {
  const FakeWorld world;
  write_file_atomic(world / "die", "2");
  const PipelineResult killed = world.run();
  CHECK(killed.exit_code == kExitUserError);
  CHECK_THAT(killed.error, Contains("stage 'l1'") && Contains("signal 9"));
  CHECK(read_file(world / "out/l1/state") == "step rain \nstep rain \n");
  CHECK(reasons(world.plan(), "l1") == "its last run did not finish");
  write_file_atomic(world / "data.txt", "snow\n");
  world.run();
  CHECK(read_file(world / "out/l1/model") == "step snow \nstep snow \nstep snow \n");
}

TEST_CASE("stages killed at any point leave the same result when run again") {
  const FakeWorld undisturbed;
  const NamedDigests expected = digests(undisturbed.run());
  for (int actions = 0; actions < 12; ++actions) {
    const FakeWorld world;
    write_file_atomic(world / "die", std::to_string(actions));
    PipelineResult result = world.run();
    CHECK((result.exit_code == kExitOk) == (actions >= 11));
    if (actions % 2) fs::create_directories(world / "out/l2.tmp-123");  // left by a killed writer
    if (result.exit_code != kExitOk) result = world.run();
    CHECK(result.exit_code == kExitOk);
    CHECK(digests(result) == expected);
    CHECK(statuses(world.run()) == kAllUpToDate);
  }
}

TEST_CASE("the pipeline killed at random moments leaves the same result when run again") {
  const FakeWorld undisturbed;
  const NamedDigests expected = digests(undisturbed.run());
  for (uint64_t round = 0; round < 4; ++round) {
    const FakeWorld world;
    write_file_atomic(world / "slow", "");
    for (uint64_t attempt = 0; attempt < 3; ++attempt) {
      const pid_t child = run_in_background(world);
      std::this_thread::sleep_for(std::chrono::milliseconds(20 + 67 * attempt + 41 * round));
      ::kill(child, SIGKILL);
      wait_for_exit(child);
    }
    const PipelineResult result = world.run();
    CHECK(result.error == "");
    CHECK(digests(result) == expected);
  }
}

TEST_CASE("a signal is passed on, and the run goes on later") {
  const FakeWorld world;
  write_file_atomic(world / "slow", "");
  const pid_t child = run_in_background(world);
  while (!fs::exists(world / "out/l1/state")) std::this_thread::yield();
  ::kill(child, SIGTERM);
  CHECK(wait_for_exit(child) == kExitTerminated);
  CHECK(world.run().exit_code == 0);
}

TEST_CASE("two processes cannot run the same pipeline") {
  const FakeWorld world;
  const FolderLock lock(world / "out");
  CHECK_THROWS_WITH(world.run(), Contains("in use by another gradus process"));
}

TEST_CASE("a program that cannot be run is named with the reason") {
  const FakeWorld world;
  write_file_atomic(world / "broken",
                    "\x7f"
                    "ELF");
  fs::permissions(world / "broken", fs::perms::owner_all);
  ExecutorOptions options = world.options();
  options.program = world / "broken";
  const Pipeline pipeline = world.pipeline();
  CHECK_THROWS_WITH(Executor(pipeline, options).run(),
                    Contains("cannot be run") && Contains("broken"));
}

TEST_CASE("a number that another process got since is not waited for") {
  const FakeWorld world;
  const std::string self = process_identity(::getpid());
  CHECK_FALSE(wait_until_gone(self, 1));
  CHECK(wait_until_gone(self + "0", 60'000));
  CHECK(wait_until_gone("", 60'000));
}

TEST_CASE("a data folder is an input with all its files") {
  FakeWorld world;
  write_file_atomic(world / "data" / "rows.txt", "rain");
  world.write_recipe(
      "out: ROOT/out\nstages:\n"
      "  - {name: a, command: read, recipe: {data: ROOT/data, out: \"${out}/a\"}}\n");
  const auto key = [&] {
    const Pipeline pipeline =
        build_pipeline(load_pipeline_recipe(world / "pipeline.yaml", {}),
                       {stage_command<ReadRecipe>("read", AfterCrash::kStartsOver)});
    return Executor(pipeline, world.options()).plan().stages.at(0).key;
  };
  const std::string before = key();
  write_file_atomic(world / "data" / "README.md", "rows of a kind");
  CHECK(key() != before);
}
