// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "base/error.h"
#include "model/families/reader.h"

namespace gradus {
namespace {

constexpr const char* kSupported = "default, linear, dynamic, yarn, longrope or llama3";

void read_yarn(const ConfigReader& part, RopeConfig& rope) {
  rope.type = RopeType::kYarn;
  rope.beta_fast = part.number("beta_fast", 32.0);
  rope.beta_slow = part.number("beta_slow", 1.0);
  for (const char* key : {"beta_fast", "beta_slow"})
    part.refuse_if(!(part.number(key, 1.0) > 0), key, "a number above 0");
  part.refuse_if(!(rope.theta > 1), "rope_theta", "a number above 1");
  rope.truncate = part.flag("truncate", true);
  const auto magnitude = [&](double weight) {
    return rope.factor <= 1 ? 1.0 : 0.1 * weight * std::log(rope.factor) + 1.0;
  };
  const double mscale = part.number("mscale", 0), mscale_all_dim = part.number("mscale_all_dim", 0);
  const double usual = mscale != 0 && mscale_all_dim != 0
                           ? magnitude(mscale) / magnitude(mscale_all_dim)
                           : magnitude(1);
  rope.attention_factor = part.number("attention_factor", usual);
}

std::vector<double> read_factors(const ConfigReader& part, const char* key, int64_t count) {
  part.refuse_if(!part.has(key), key, "a list");
  const Json& list = part.at(key);
  part.refuse_if(!list.is_array() || static_cast<int64_t>(list.size()) != count, key,
                 cat("a list of ", count, " numbers"));
  std::vector<double> factors;
  for (const Json& value : list) {
    part.refuse_if(!value.is_number() || !(value.get<double>() > 0), key, "numbers above 0");
    factors.push_back(value.get<double>());
  }
  return factors;
}

void read_longrope(const ConfigReader& part, RopeConfig& rope) {
  rope.type = RopeType::kLongRope;
  rope.short_factor = read_factors(part, "short_factor", rope.dim / 2);
  rope.long_factor = read_factors(part, "long_factor", rope.dim / 2);
  const auto original = static_cast<double>(rope.original_max_position_embeddings);
  const double factor =
      part.number("factor", static_cast<double>(rope.max_position_embeddings) / original);
  const double usual = factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(original));
  rope.attention_factor = part.number("attention_factor", usual);
}

int64_t rotary_dim(const ConfigReader& reader, const ModelConfig& config, double partial) {
  const auto dim = static_cast<int64_t>(static_cast<double>(config.head_dim) * partial);
  if (dim >= 2 && dim <= config.head_dim && dim % 2 == 0) return dim;
  throw Error({.what = "the rotated part of a head must be even and at most a head",
               .where = reader.where(),
               .expected = cat("2 to ", config.head_dim),
               .found = cat(dim, " of ", config.head_dim)});
}

}  // namespace

RopeConfig read_rope_parameters(const ConfigReader& part, const ModelConfig& config,
                                RopeConfig base) {
  base.theta = part.number("rope_theta", base.theta);
  part.refuse_if(!(base.theta > 0), "rope_theta", "a number above 0");
  if (part.has("partial_rotary_factor"))
    base.dim = rotary_dim(part, config, part.number("partial_rotary_factor", 1.0));
  const std::string type = part.text("rope_type", part.text("type", "default"));
  if (type == "default") return base;
  if (base.original_max_position_embeddings == 0)
    base.original_max_position_embeddings =
        part.size("original_max_position_embeddings", config.max_position_embeddings);
  base.max_position_embeddings = config.max_position_embeddings;
  if (type == "longrope" || type == "su") {
    read_longrope(part, base);
    return base;
  }
  base.factor = json_get<double>(part.json(), "factor", part.where());
  part.refuse_if(!(base.factor > 0), "factor", "a number above 0");
  if (type == "linear") {
    base.type = RopeType::kLinear;
  } else if (type == "dynamic") {
    base.type = RopeType::kDynamic;
    part.refuse_if(base.dim <= 2, "type", "more than two rotated numbers a head");
  } else if (type == "yarn") {
    read_yarn(part, base);
  } else if (type == "llama3") {
    base.type = RopeType::kLlama3;
    base.low_freq_factor = json_get<double>(part.json(), "low_freq_factor", part.where());
    base.high_freq_factor = json_get<double>(part.json(), "high_freq_factor", part.where());
    part.refuse_if(!(base.low_freq_factor > 0), "low_freq_factor", "a number above 0");
    part.refuse_if(!(base.high_freq_factor > base.low_freq_factor), "high_freq_factor",
                   "more than low_freq_factor");
  } else {
    throw Error({.what = "rope type is not supported",
                 .where = part.where(),
                 .expected = kSupported,
                 .found = printable(type)});
  }
  return base;
}

RopeConfig read_rope(const ConfigReader& reader, const ModelConfig& config,
                     const RopeDefaults& defaults) {
  RopeConfig rope;
  rope.theta = reader.number("rope_theta", defaults.theta);
  reader.refuse_if(!(rope.theta > 0), "rope_theta", "a number above 0");
  rope.interleaved = defaults.interleaved;
  rope.dim = rotary_dim(reader, config, reader.number("partial_rotary_factor", defaults.partial));
  rope.original_max_position_embeddings = reader.size("original_max_position_embeddings", 0);
  const auto is_object = [&](const char* key) {
    return reader.has(key) && reader.at(key).is_object() && !reader.at(key).empty();
  };
  const bool joined = is_object("rope_parameters");
  reader.refuse_if(joined && is_object("rope_scaling") &&
                       reader.at("rope_scaling") != reader.at("rope_parameters"),
                   "rope_scaling", "what rope_parameters says, or one of the two");
  const char* key = joined ? "rope_parameters" : "rope_scaling";
  if (reader.has(key)) rope = read_rope_parameters(reader.inside(key), config, rope);
  if (defaults.share == RotatedShare::kWhole && rope.dim != config.head_dim)
    throw Error({.what = "key 'partial_rotary_factor' has a value that this family does not have",
                 .where = reader.where(),
                 .expected = "1",
                 .found = cat(rope.dim, " of ", config.head_dim, " numbers of a head")});
  return rope;
}

void use_one_rope(ModelConfig& config, RopeConfig rope) {
  config.ropes = {std::move(rope)};
  config.layer_rope.assign(static_cast<size_t>(config.num_hidden_layers), 0);
}

}  // namespace gradus
