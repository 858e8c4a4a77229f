// SPDX-License-Identifier: Apache-2.0
// The presets in configs/models describe the published models: they have as many numbers.
#include <map>

#include "model/config.h"
#include "support/catch.h"

namespace gradus {

TEST_CASE("every preset loads, and has the published number of parameters") {
  // Of the files that the authors published; tied embeddings count once, and of models that see
  // images the language model alone.
  const std::map<std::string, int64_t> published{{"aya-expanse-8b", 8028033024},
                                                 {"baichuan-13b", 13264901120},
                                                 {"baichuan-7b", 7000559616},
                                                 {"baichuan2-13b", 13896668160},
                                                 {"baichuan2-7b", 7505973248},
                                                 {"chatglm2-6b", 6243584000},
                                                 {"chatglm3-6b", 6243584000},
                                                 {"deepseek-v2", 235741434880},
                                                 {"deepseek-v2-lite", 15706484224},
                                                 {"deepseek-v3", 671026419200},
                                                 {"ernie-4.5-0.3b", 360748032},
                                                 {"falcon-7b", 6921720704},
                                                 {"falcon-rw-1b", 1311625216},
                                                 {"gemma-2-2b", 2614341888},
                                                 {"gemma-2-9b", 9241705984},
                                                 {"gemma-2b", 2506172416},
                                                 {"gemma-3-12b", 11766034176},
                                                 {"gemma-3-1b", 999885952},
                                                 {"gemma-3-27b", 27009346304},
                                                 {"gemma-3-4b", 3880263168},
                                                 {"gemma-7b", 8537680896},
                                                 {"glm-4-9b", 9399951360},
                                                 {"glm-4-9b-0414", 9400279040},
                                                 {"gpt2", 124439808},
                                                 {"gpt2-large", 774030080},
                                                 {"gpt2-medium", 354823168},
                                                 {"gpt2-xl", 1557611200},
                                                 {"granite-3.0-1b-a400m", 1334628352},
                                                 {"granite-3.1-2b", 2533531648},
                                                 {"granite-3.1-8b", 8170848256},
                                                 {"internlm2-1.8b", 1889110016},
                                                 {"internlm2-20b", 19861149696},
                                                 {"internlm2-7b", 7737708544},
                                                 {"llama-13b", 13015864320},
                                                 {"llama-2-13b", 13015864320},
                                                 {"llama-2-70b", 68976648192},
                                                 {"llama-2-7b", 6738415616},
                                                 {"llama-3-70b", 70553706496},
                                                 {"llama-3.1-70b", 70553706496},
                                                 {"llama-3.1-8b", 8030261248},
                                                 {"llama-3.2-1b", 1235814400},
                                                 {"llama-3.2-3b", 3212749824},
                                                 {"llama-30b", 32528943616},
                                                 {"llama-65b", 65285660672},
                                                 {"llama-7b", 6738415616},
                                                 {"mistral-7b", 7241732096},
                                                 {"mistral-7b-v0.3", 7248023552},
                                                 {"mistral-nemo-12b", 12247782400},
                                                 {"mistral-small-24b", 23572403200},
                                                 {"mixtral-8x22b", 140630071296},
                                                 {"mixtral-8x7b", 46702792704},
                                                 {"mpt-7b", 6649286656},
                                                 {"olmo-1b", 1176764416},
                                                 {"olmo-7b", 6888095744},
                                                 {"olmo2-13b", 13716198400},
                                                 {"olmo2-1b", 1484916736},
                                                 {"olmo2-7b", 7298617344},
                                                 {"olmoe-1b-7b", 6919161856},
                                                 {"phi-1.5", 1418270720},
                                                 {"phi-2", 2779683840},
                                                 {"phi-3-medium-4k", 13960238080},
                                                 {"phi-3-mini-4k", 3821079552},
                                                 {"phi-4", 14659507200},
                                                 {"pythia-1.4b", 1414647808},
                                                 {"pythia-12b", 11846072320},
                                                 {"pythia-160m", 162322944},
                                                 {"pythia-1b", 1011781632},
                                                 {"pythia-2.8b", 2775208960},
                                                 {"pythia-410m", 405334016},
                                                 {"pythia-6.9b", 6857302016},
                                                 {"pythia-70m", 70426624},
                                                 {"qwen-1.8b", 1836828672},
                                                 {"qwen-14b", 14167290880},
                                                 {"qwen-72b", 72287920128},
                                                 {"qwen-7b", 7721324544},
                                                 {"qwen1.5-moe-a2.7b", 14315784192},
                                                 {"qwen2.5-0.5b", 494032768},
                                                 {"qwen2.5-1.5b", 1543714304},
                                                 {"qwen2.5-14b", 14770033664},
                                                 {"qwen2.5-32b", 32763876352},
                                                 {"qwen2.5-3b", 3085938688},
                                                 {"qwen2.5-72b", 72706203648},
                                                 {"qwen2.5-7b", 7615616512},
                                                 {"qwen3-0.6b", 596049920},
                                                 {"qwen3-1.7b", 1720574976},
                                                 {"qwen3-14b", 14768307200},
                                                 {"qwen3-235b-a22b", 235093634560},
                                                 {"qwen3-30b-a3b", 30532122624},
                                                 {"qwen3-32b", 32762123264},
                                                 {"qwen3-4b", 4022468096},
                                                 {"qwen3-8b", 8190735360},
                                                 {"rwkv-4-pile-169m", 169342464},
                                                 {"rwkv-4-world-0.1b", 192780288},
                                                 {"rwkv-4-world-0.4b", 461647872},
                                                 {"rwkv-4-world-1.5b", 1577607168},
                                                 {"rwkv-4-world-3b", 3062753280},
                                                 {"rwkv-4-world-7b", 7517650944},
                                                 {"rwkv-7-world-0.1b", 191034624},
                                                 {"rwkv-7-world-0.4b", 450767872},
                                                 {"rwkv-7-world-1.5b", 1527404544},
                                                 {"rwkv-7-world-2.9b", 2947735040},
                                                 {"seed-oss-36b", 36151104512},
                                                 {"smollm2-1.7b", 1711376384},
                                                 {"smollm2-135m", 134515008},
                                                 {"smollm2-360m", 361821120},
                                                 {"smollm3-3b", 3075098624},
                                                 {"stablelm-2-1.6b", 1644515328},
                                                 {"stablelm-3b-4e1t", 2795443200},
                                                 {"starcoder2-15b", 15957889024},
                                                 {"starcoder2-3b", 3030371328},
                                                 {"starcoder2-7b", 7173923840},
                                                 {"yi-34b", 34388917248},
                                                 {"yi-6b", 6061035520}};
  size_t compared = 0;
  for (const auto& file : fs::directory_iterator(fs::path(GRADUS_SOURCE_DIR) / "configs/models")) {
    const std::string name = file.path().stem().string();
    INFO(name);
    const ModelConfig config =
        model_config_from_json(read_json(file.path()), file.path().filename().string());
    if (!published.contains(name)) continue;
    CHECK(parameter_count(config) == published.at(name));
    ++compared;
  }
  CHECK(compared == published.size());
}

}  // namespace gradus
