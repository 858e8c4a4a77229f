// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.h"

#include <signal.h>

#include "base/error.h"
#include "base/signals.h"
#include "unit/train/support.h"

// Last: libtorch has a CHECK of its own.
#include "support/catch.h"

namespace gradus {
namespace {

const CrossEntropyObjective kCrossEntropy;

// The losses that a run's metrics.jsonl tells, by step.
std::vector<double> losses(const fs::path& run) {
  std::vector<double> values;
  std::istringstream lines(read_file(run / "metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const Json json = parse_json(line, "metrics.jsonl");
    if (!json.contains("evaluation")) values.push_back(json.at("loss").get<double>());
  }
  return values;
}

struct Outcome {
  std::vector<double> losses;
  std::vector<at::Tensor> weights;
  RunEnd end;
  RunProgress progress;
};

Outcome run(const fs::path& folder, const TrainingRecipe& recipe, const StepSource& steps,
            Transformer model) {
  const RunFolder run_folder(folder, {{{"model", "tiny"}}, "model: tiny\n"});
  Trainer trainer({.model = model,
                   .objective = kCrossEntropy,
                   .steps = steps,
                   .held_out = {tiny_held_out()},
                   .recipe = recipe,
                   .folder = run_folder});
  const RunEnd end = trainer.run();
  return {losses(folder), copies_of(model), end, trainer.progress()};
}

// Asks to stop before a given step, as a signal would.
class StoppingSteps : public StepSource {
 public:
  StoppingSteps(const StepSource& steps, int64_t stop_at) : steps_(steps), stop_at_(stop_at) {}
  int64_t steps() const override { return steps_.steps(); }
  StepPlan step(int64_t step) const override {
    if (step == stop_at_) request_stop(SIGTERM);
    return steps_.step(step);
  }
  std::string describe(const PackedBatch& batch) const override { return steps_.describe(batch); }

 private:
  const StepSource& steps_;
  int64_t stop_at_;
};

}  // namespace

TEST_CASE("a stopped and resumed run equals an undisturbed one in every loss and weight") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const TemporaryFolder folder;
    const RandomSteps steps(10, {{7, 20}, {13}});
    const TrainingRecipe recipe = tiny_recipe();
    const Outcome whole = run(folder / "whole", recipe, steps, tiny_model(dtype));
    REQUIRE(whole.end == RunEnd::kFinished);
    REQUIRE(whole.losses.size() == 10);
    CHECK(!same_bits(whole.weights, copies_of(tiny_model(dtype))));

    const Outcome part = run(folder / "parts", recipe, StoppingSteps(steps, 3), tiny_model(dtype));
    clear_stop_request();
    CHECK(part.end == RunEnd::kStopped);
    CHECK(part.losses.size() == 4);
    const Outcome rest = run(folder / "parts", recipe, steps, tiny_model(dtype));
    CHECK(rest.losses == whole.losses);
    CHECK(same_bits(rest.weights, whole.weights));
  }
}

TEST_CASE("a run that lost everything after its checkpoint repeats the same steps") {
  const TemporaryFolder folder;
  const RandomSteps steps(8, {{11, 6}});
  TrainingRecipe recipe = tiny_recipe();
  const Outcome whole = run(folder / "whole", recipe, steps, tiny_model());
  recipe.checkpoint.every_steps = 3;
  const Outcome first = run(folder / "again", recipe, steps, tiny_model());
  const Outcome again = run(folder / "again", recipe, steps, tiny_model());  // resumes at step 6
  CHECK(first.losses == whole.losses);
  CHECK(again.losses == whole.losses);
  CHECK(same_bits(again.weights, whole.weights));
}

TEST_CASE("one batch of eight documents trains as eight batches of one") {
  const TemporaryFolder folder;
  const TrainingRecipe recipe = tiny_recipe();
  // Document i of the joint batch starts at another index, so the ids are taken from one batch.
  class Split : public RandomSteps {
   public:
    Split() : RandomSteps(5, {{5, 9, 3, 12, 7, 4, 10, 6}}) {}
    StepPlan step(int64_t index) const override {
      StepPlan plan = RandomSteps::step(index);
      const PackedBatch all = plan.micro_batches[0];
      plan.micro_batches.clear();
      for (size_t i = 0; i + 1 < all.segment_starts.size(); ++i)
        plan.micro_batches.push_back(segment(all, i));
      return plan;
    }
  };
  const Outcome together =
      run(folder / "one", recipe, RandomSteps(5, {{5, 9, 3, 12, 7, 4, 10, 6}}), tiny_model());
  const Outcome apart = run(folder / "eight", recipe, Split(), tiny_model());
  REQUIRE(together.losses.size() == apart.losses.size());
  for (size_t i = 0; i < apart.losses.size(); ++i)
    CHECK(apart.losses[i] == Approx(together.losses[i]).epsilon(2e-5));
}

TEST_CASE("recomputed activations give the losses of kept ones") {
  const TemporaryFolder folder;
  TrainingRecipe recipe = tiny_recipe();
  const RandomSteps steps(6, {{17, 8}, {21}});
  const Outcome kept = run(folder / "kept", recipe, steps, tiny_model());
  recipe.activation_memory = ActivationMemory::kRecompute;
  const Outcome recomputed = run(folder / "recomputed", recipe, steps, tiny_model());
  CHECK(kept.losses == recomputed.losses);
  CHECK(same_bits(kept.weights, recomputed.weights));
}

TEST_CASE("freezing trains the chosen layers only") {
  const TemporaryFolder folder;
  TrainingRecipe recipe = tiny_recipe();
  recipe.method = TrainMethod::kFreeze;
  recipe.freeze = FreezeRecipe{.last_layers = 1, .layers = {}};
  const Transformer before = tiny_model();
  const Outcome after = run(folder / "run", recipe, RandomSteps(3, {{15}}), tiny_model());
  const auto named = before.named_tensors();
  for (size_t i = 0; i < named.size(); ++i) {
    const bool trained = named[i].name.rfind("model.layers.2.", 0) == 0;
    INFO(named[i].name);
    CHECK(after.weights[i].equal(named[i].tensor) == !trained);
  }
}

TEST_CASE("the best evaluation is the result, and too many worse ones stop the run") {
  const TemporaryFolder folder;
  TrainingRecipe recipe = tiny_recipe();
  recipe.optimizer.lr = 0.5;  // far too high: every step makes it worse
  recipe.schedule.kind = ScheduleKind::kConstant;
  recipe.evaluation = {.every_steps = 1,
                       .at_start = true,
                       .best = "held",
                       .early_stopping = EarlyStoppingRecipe{.patience = 2}};
  const Transformer before = tiny_model();
  const Outcome outcome = run(folder / "run", recipe, RandomSteps(50, {{15}}), tiny_model());
  CHECK(outcome.end == RunEnd::kFinished);
  CHECK(outcome.progress.step < 50);
  CHECK(outcome.progress.best.step == 0);
  CHECK(same_bits(outcome.weights, copies_of(before)));
}

TEST_CASE("a loss that is not finite ends the run and saves nothing") {
  const TemporaryFolder folder;
  TrainingRecipe recipe = tiny_recipe();
  recipe.optimizer.lr = 1e38;
  recipe.checkpoint.every_steps = 1;
  try {
    run(folder / "run", recipe, RandomSteps(9, {{15}}), tiny_model());
    FAIL("no error");
  } catch (const Error& error) {
    const std::string text = error.what();
    INFO(text);
    CHECK(text.find("random documents") != std::string::npos);
    CHECK(text.find("not finite") != std::string::npos);
  }
}

TEST_CASE("a checkpoint of other inputs is refused") {
  const TemporaryFolder folder;
  const RandomSteps steps(4, {{9}});
  TrainingRecipe recipe = tiny_recipe();
  recipe.checkpoint.every_steps = 2;
  run(folder / "run", recipe, steps, tiny_model());
  Transformer model = tiny_model();
  const RunFolder run_folder(folder / "run", {{{"model", "tiny"}}, "model: tiny\n"});
  const auto start = [&] {
    Trainer trainer({.model = model,
                     .objective = kCrossEntropy,
                     .steps = steps,
                     .held_out = {},
                     .recipe = recipe,
                     .folder = run_folder,
                     .inputs = {{"base", "another"}}});
  };
  CHECK_THROWS_AS(start(), Error);
}

}  // namespace gradus
