// SPDX-License-Identifier: Apache-2.0
// Every command, one file each: cmd_<name>.cpp. main.cpp lists them in its table.
#pragma once

#include "command.h"

namespace gradus {

Command doctor_command();
Command pretrain_continue_command();
Command sft_command();
Command distill_command();
Command quantize_command();
Command eval_command();
Command compare_command();
Command serve_command();
Command run_command();
Command store_digest_command();
Command store_verify_command();
Command store_lineage_command();
Command model_fetch_command();
Command model_import_command();
Command model_convert_command();
Command model_inspect_command();
Command model_diff_command();
Command model_verify_command();
Command model_forward_command();
Command model_merge_command();
Command model_families_command();
Command model_formats_command();
Command tokenizer_encode_command();
Command tokenizer_decode_command();
Command tokenizer_chat_command();

// Adds the results of a finished evaluation to its model's lineage where they are missing, because
// the same model was made again since.
void restore_evaluation(const std::string& recipe_yaml);

}  // namespace gradus
