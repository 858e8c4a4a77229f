// SPDX-License-Identifier: Apache-2.0
#include "data/mixing.h"

#include <algorithm>
#include <numeric>

#include "base/rng.h"

namespace gradus {

SequenceStream::SequenceStream(const std::vector<PackedSource>& sources,
                               std::vector<int32_t> numbers, uint64_t seed, uint64_t stream)
    : numbers_(std::move(numbers)), first_{0}, seed_(seed), stream_(stream) {
  for (const int32_t number : numbers_) {
    const PackedSource& source = sources[static_cast<size_t>(number)];
    first_.push_back(first_.back() + source.sequences());
    tokens_ += source.tokens();
  }
}

SequenceRef SequenceStream::at(int64_t index) const {
  const auto epoch = static_cast<uint64_t>(index / size());
  const uint64_t epoch_seed = random_bits(seed_, stream_, epoch);
  const Permutation shuffle(static_cast<uint64_t>(size()), epoch_seed);
  const auto pooled = static_cast<int64_t>(shuffle(static_cast<uint64_t>(index % size())));
  const auto owner = std::upper_bound(first_.begin(), first_.end(), pooled) - first_.begin() - 1;
  return {numbers_[static_cast<size_t>(owner)], pooled - first_[static_cast<size_t>(owner)]};
}

Mixer::Mixer(const std::vector<PackedSource>& sources, const std::vector<SequenceStream>& streams,
             std::vector<double> weights)
    : sources_(sources), streams_(streams), weights_(std::move(weights)) {}

Mixer::State Mixer::start() const {
  return {std::vector<int64_t>(streams_.size(), 0), std::vector<int64_t>(streams_.size(), 0)};
}

size_t Mixer::choose(const State& state) const {
  if (streams_.size() == 1) return 0;
  const auto total =
      static_cast<double>(std::accumulate(state.tokens.begin(), state.tokens.end(), int64_t{0}));
  size_t best = streams_.size(), least = 0;
  double best_finish = 0, least_start = 0;
  for (size_t s = 0; s < streams_.size(); ++s) {
    const double start = static_cast<double>(state.tokens[s]) / weights_[s];
    if (s == 0 || start < least_start) least = s, least_start = start;
    if (start > total) continue;
    const int64_t after = state.tokens[s] + tokens_of(peek(state, s));
    const double finish = static_cast<double>(after) / weights_[s];
    if (best == streams_.size() || finish < best_finish) best = s, best_finish = finish;
  }
  return best < streams_.size() ? best : least;  // rounding can leave nobody behind its share
}

SequenceRef Mixer::peek(const State& state, size_t stream) const {
  return streams_[stream].at(state.taken[stream]);
}

int64_t Mixer::tokens_of(const SequenceRef& ref) const {
  return sources_[static_cast<size_t>(ref.source)].tokens(ref.sequence);
}

void Mixer::take(State& state, size_t stream, const SequenceRef& ref) const {
  ++state.taken[stream];
  state.tokens[stream] += tokens_of(ref);
}

}  // namespace gradus
