// SPDX-License-Identifier: Apache-2.0
#include "data/plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "base/error.h"
#include "base/system.h"

namespace gradus {
namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
constexpr uint64_t kPoolStream = 0x706f6f6c;

// How long the plan is; the first limit reached ends it.
struct Limits {
  int64_t steps = kNoLimit;
  int64_t sequences = kNoLimit;
  int64_t tokens = kNoLimit;  // looked at between steps
};

bool is_mixed(const std::vector<PackedSource>& sources) {
  return sources.front().source().recipe().share.has_value();
}

std::vector<SequenceStream> make_streams(const std::vector<PackedSource>& sources, uint64_t seed) {
  std::vector<int32_t> all(sources.size());
  std::iota(all.begin(), all.end(), 0);
  std::vector<SequenceStream> streams;
  if (!is_mixed(sources)) {
    streams.emplace_back(sources, all, seed, kPoolStream);
    return streams;
  }
  for (const int32_t number : all)
    streams.emplace_back(sources, std::vector<int32_t>{number}, seed,
                         static_cast<uint64_t>(number));
  return streams;
}

std::vector<double> make_weights(const std::vector<PackedSource>& sources) {
  if (!is_mixed(sources)) return {1.0};
  std::vector<double> weights;
  for (const auto& source : sources) weights.push_back(source.source().recipe().share.value());
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& weight : weights) weight /= sum;
  return weights;
}

// Sequences that max_epochs allows each stream; a pool ends with the first of its sources.
std::vector<int64_t> make_ceilings(const std::vector<PackedSource>& sources,
                                   const std::vector<SequenceStream>& streams) {
  std::vector<int64_t> epochs(streams.size(), kNoLimit);
  for (size_t i = 0; i < sources.size(); ++i) {
    int64_t& most = epochs[streams.size() == 1 ? 0 : i];
    most = std::min(most, sources[i].source().recipe().max_epochs.value_or(kNoLimit));
  }
  for (size_t s = 0; s < streams.size(); ++s) {
    if (epochs[s] < kNoLimit / streams[s].size()) epochs[s] *= streams[s].size();
  }
  return epochs;
}

Limits token_limits(double tokens, const BatchRecipe& batch) {
  if (!batch.tokens_per_step) return {.tokens = std::llround(tokens)};
  const double steps = tokens / static_cast<double>(*batch.tokens_per_step);
  return {.steps = std::max<int64_t>(1, std::llround(steps))};
}

Limits make_limits(const std::vector<SequenceStream>& streams, const BatchRecipe& batch) {
  if (batch.steps) return {.steps = *batch.steps};
  if (batch.tokens) return token_limits(static_cast<double>(*batch.tokens), batch);
  const double epochs = batch.epochs.value_or(1);
  if (streams.size() == 1) {
    const double sequences = epochs * static_cast<double>(streams[0].size());
    return {.sequences = std::max<int64_t>(1, std::llround(sequences))};
  }
  int64_t tokens = 0;
  for (const auto& stream : streams) tokens += stream.tokens();
  return token_limits(epochs * static_cast<double>(tokens), batch);
}

}  // namespace

// Where each step starts in the global order, and what it holds.
struct TrainingPlan::State {
  State(std::vector<PackedSource> packed, const PlanOptions& chosen)
      : sources(std::move(packed)),
        options(chosen),
        streams(make_streams(sources, options.seed)),
        ceilings(make_ceilings(sources, streams)),
        mixer(sources, streams, make_weights(sources)),
        source_tokens(sources.size(), 0) {
    fill(make_limits(streams, options.batch));
  }

  size_t steps() const { return step_tokens.size(); }
  SequenceGroup sequences(size_t step) const;

  std::vector<PackedSource> sources;
  PlanOptions options;
  std::vector<SequenceStream> streams;
  std::vector<int64_t> ceilings;
  Mixer mixer;
  std::vector<int64_t> source_tokens;  // of the whole plan
  std::vector<int64_t> step_tokens, step_supervised;
  std::vector<int64_t> taken_at, tokens_at;  // [steps + 1, streams]: the mixer's states
  int64_t total_tokens = 0, total_sequences = 0;
  std::string ended_early;

 private:
  void fill(const Limits& limits);
  void fill_step(Mixer::State& state, const Limits& limits);
  bool step_is_full(int64_t sequences, int64_t next_tokens) const;
  bool exhausted(const Mixer::State& state, size_t stream);
  std::string exhausted_text(size_t stream) const;
  void remember(const Mixer::State& state);
};

void TrainingPlan::State::remember(const Mixer::State& state) {
  taken_at.insert(taken_at.end(), state.taken.begin(), state.taken.end());
  tokens_at.insert(tokens_at.end(), state.tokens.begin(), state.tokens.end());
}

void TrainingPlan::State::fill(const Limits& limits) {
  Mixer::State state = mixer.start();
  remember(state);
  while (ended_early.empty() && static_cast<int64_t>(steps()) < limits.steps &&
         total_sequences < limits.sequences && total_tokens < limits.tokens) {
    fill_step(state, limits);
    remember(state);
  }
}

void TrainingPlan::State::fill_step(Mixer::State& state, const Limits& limits) {
  step_tokens.push_back(0);
  step_supervised.push_back(0);
  for (int64_t count = 0; total_sequences < limits.sequences; ++count) {
    const size_t stream = mixer.choose(state);
    const SequenceRef ref = mixer.peek(state, stream);
    const int64_t tokens = mixer.tokens_of(ref);
    if (step_is_full(count, tokens)) return;
    if (exhausted(state, stream)) break;
    mixer.take(state, stream, ref);
    total_tokens += tokens;
    ++total_sequences;
    step_tokens.back() += tokens;
    source_tokens[static_cast<size_t>(ref.source)] += tokens;
    step_supervised.back() += sources[static_cast<size_t>(ref.source)].supervised(ref.sequence);
  }
  if (step_tokens.back() > 0) return;
  step_tokens.pop_back();  // exhausted exactly at the end of a step: remember() repeats its state
  step_supervised.pop_back();
}

// `sequences` so far in this step, `next_tokens` in the one that would be added.
bool TrainingPlan::State::step_is_full(int64_t sequences, int64_t next_tokens) const {
  if (sequences == 0) return false;
  if (options.batch.sequences_per_step) return sequences >= *options.batch.sequences_per_step;
  const int64_t target = static_cast<int64_t>(steps()) * options.batch.tokens_per_step.value();
  return 2 * total_tokens + next_tokens >= 2 * target;
}

bool TrainingPlan::State::exhausted(const Mixer::State& state, size_t stream) {
  if (state.taken[stream] < ceilings[stream]) return false;
  ended_early = exhausted_text(stream);
  if (options.on_exhausted == ExhaustedPolicy::kStop) return true;
  throw Error({.what = ended_early,
               .where = "data plan",
               .hint = "shorten the training, raise max_epochs, or set on_exhausted: stop"});
}

std::string TrainingPlan::State::exhausted_text(size_t stream) const {
  const auto* recipe = &sources[streams.size() == 1 ? 0 : stream].source().recipe();
  for (const auto& source : sources) {
    const auto& other = source.source().recipe();
    const bool fewer =
        other.max_epochs && (!recipe->max_epochs || *other.max_epochs < *recipe->max_epochs);
    if (streams.size() == 1 && fewer) recipe = &other;
  }
  return cat("source ", recipe->name, " reaches its max_epochs (", recipe->max_epochs.value_or(0),
             ") after ", with_commas(total_tokens), " tokens of the plan");
}

SequenceGroup TrainingPlan::State::sequences(size_t step) const {
  const auto row = [&](const std::vector<int64_t>& values, size_t index) {
    const auto begin = values.begin() + static_cast<ptrdiff_t>(index * streams.size());
    return std::vector<int64_t>(begin, begin + static_cast<ptrdiff_t>(streams.size()));
  };
  Mixer::State state{row(taken_at, step), row(tokens_at, step)};
  const std::vector<int64_t> end = row(taken_at, step + 1);
  SequenceGroup group;
  while (state.taken != end) {
    const size_t stream = mixer.choose(state);
    const SequenceRef ref = group.emplace_back(mixer.peek(state, stream));
    mixer.take(state, stream, ref);
  }
  return group;
}

std::vector<SequenceGroup> group_sequences(const SequenceGroup& sequences,
                                           const std::vector<PackedSource>& sources,
                                           int64_t most_tokens, int64_t most_sequences) {
  std::vector<SequenceGroup> groups;
  int64_t tokens = 0;
  for (const auto& ref : sequences) {
    const int64_t added = sources[static_cast<size_t>(ref.source)].tokens(ref.sequence);
    const bool too_many = !groups.empty() && most_sequences > 0 &&
                          static_cast<int64_t>(groups.back().size()) >= most_sequences;
    if (groups.empty() || too_many || (most_tokens > 0 && tokens + added > most_tokens)) {
      groups.emplace_back();
      tokens = 0;
    }
    groups.back().push_back(ref);
    tokens += added;
  }
  return groups;
}

PackedBatch make_batch(const SequenceGroup& sequences, const std::vector<PackedSource>& sources) {
  PackedBatch batch;
  for (const auto& ref : sequences)
    sources[static_cast<size_t>(ref.source)].append(ref.sequence, ref.source, batch);
  return batch;
}

TrainingPlan::TrainingPlan(std::vector<PackedSource> sources, const PlanOptions& options) {
  if (sources.empty())
    throw Error(ErrorParts{.what = "there are no sources", .where = "data.sources"});
  state_ = std::make_unique<const State>(std::move(sources), options);
}
TrainingPlan::~TrainingPlan() = default;
TrainingPlan::TrainingPlan(TrainingPlan&&) noexcept = default;

int64_t TrainingPlan::steps() const { return static_cast<int64_t>(state_->steps()); }
int64_t TrainingPlan::tokens() const { return state_->total_tokens; }
int64_t TrainingPlan::tokens(int64_t step) const {
  return state_->step_tokens.at(static_cast<size_t>(step));
}
int64_t TrainingPlan::supervised_tokens(int64_t step) const {
  return state_->step_supervised.at(static_cast<size_t>(step));
}
const std::vector<PackedSource>& TrainingPlan::sources() const { return state_->sources; }
const std::string& TrainingPlan::ended_early() const { return state_->ended_early; }

SequenceGroup TrainingPlan::sequences(int64_t step) const {
  if (step < 0 || step >= steps()) throw std::logic_error("TrainingPlan: no such step");
  return state_->sequences(static_cast<size_t>(step));
}

std::vector<SequenceGroup> TrainingPlan::micro_batches(int64_t step) const {
  const auto& [batch, context_length, on_exhausted, seed] = state_->options;
  return group_sequences(sequences(step), state_->sources,
                         batch.tokens_per_micro_batch.value_or(context_length),
                         batch.sequences_per_micro_batch.value_or(0));
}

PackedBatch TrainingPlan::batch(const SequenceGroup& sequences) const {
  return make_batch(sequences, state_->sources);
}

StepPlan TrainingPlan::step(int64_t step) const {
  StepPlan plan{.micro_batches = {},
                .tokens = tokens(step),
                .supervised_tokens = supervised_tokens(step),
                .source_tokens = std::vector<int64_t>(state_->sources.size(), 0)};
  for (const auto& group : micro_batches(step)) {
    plan.micro_batches.push_back(batch(group));
    for (const auto& ref : group)
      plan.source_tokens[static_cast<size_t>(ref.source)] += state_->mixer.tokens_of(ref);
  }
  return plan;
}

std::vector<SourceReport> TrainingPlan::reports() const {
  const std::vector<double> weights = make_weights(state_->sources);
  std::vector<SourceReport> reports;
  int64_t pool_tokens = 0;
  for (const auto& source : state_->sources) pool_tokens += source.tokens();
  for (size_t i = 0; i < state_->sources.size(); ++i) {
    const PackedSource& source = state_->sources[i];
    SourceReport report = source.report();
    const auto own = static_cast<double>(source.tokens());
    report.planned_tokens = state_->source_tokens[i];
    report.planned_share =
        static_cast<double>(report.planned_tokens) / static_cast<double>(tokens());
    report.requested_share =
        is_mixed(state_->sources) ? weights[i] : own / static_cast<double>(pool_tokens);
    report.planned_epochs = static_cast<double>(report.planned_tokens) / own;
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace gradus
