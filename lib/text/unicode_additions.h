// SPDX-License-Identifier: Apache-2.0
// The code points that Unicode 15.0 to 16.0 added to Unicode 14.0 (UnicodeData.txt, PropList.txt,
// Scripts.txt). The PCRE2 of current distributions knows Unicode 14; the Oniguruma inside the
// `tokenizers` package knows 16. Harmless where PCRE2 is newer.
#pragma once

#include <cstdint>

namespace gradus {

struct AddedRange {
  uint32_t first, last;
  const char* category;  // general category
  bool alphabetic, han;
};

inline constexpr AddedRange kUnicodeAdditions[] = {
    {0x897, 0x897, "Mn", true, false},      {0xCF3, 0xCF3, "Mc", true, false},
    {0xECE, 0xECE, "Mn", false, false},     {0x1B4E, 0x1B4F, "Po", false, false},
    {0x1B7F, 0x1B7F, "Po", false, false},   {0x1C89, 0x1C89, "Lu", true, false},
    {0x1C8A, 0x1C8A, "Ll", true, false},    {0x2427, 0x2429, "So", false, false},
    {0x2FFC, 0x2FFF, "So", false, false},   {0x31E4, 0x31E5, "So", false, false},
    {0x31EF, 0x31EF, "So", false, false},   {0xA7CB, 0xA7CC, "Lu", true, false},
    {0xA7CD, 0xA7CD, "Ll", true, false},    {0xA7DA, 0xA7DA, "Lu", true, false},
    {0xA7DB, 0xA7DB, "Ll", true, false},    {0xA7DC, 0xA7DC, "Lu", true, false},
    {0x105C0, 0x105F3, "Lo", true, false},  {0x10D40, 0x10D49, "Nd", false, false},
    {0x10D4A, 0x10D4D, "Lo", true, false},  {0x10D4E, 0x10D4E, "Lm", true, false},
    {0x10D4F, 0x10D4F, "Lo", true, false},  {0x10D50, 0x10D65, "Lu", true, false},
    {0x10D69, 0x10D69, "Mn", true, false},  {0x10D6A, 0x10D6D, "Mn", false, false},
    {0x10D6E, 0x10D6E, "Pd", false, false}, {0x10D6F, 0x10D6F, "Lm", true, false},
    {0x10D70, 0x10D85, "Ll", true, false},  {0x10D8E, 0x10D8F, "Sm", false, false},
    {0x10EC2, 0x10EC4, "Lo", true, false},  {0x10EFC, 0x10EFC, "Mn", true, false},
    {0x10EFD, 0x10EFF, "Mn", false, false}, {0x1123F, 0x11240, "Lo", true, false},
    {0x11241, 0x11241, "Mn", true, false},  {0x11380, 0x11389, "Lo", true, false},
    {0x1138B, 0x1138B, "Lo", true, false},  {0x1138E, 0x1138E, "Lo", true, false},
    {0x11390, 0x113B5, "Lo", true, false},  {0x113B7, 0x113B7, "Lo", true, false},
    {0x113B8, 0x113BA, "Mc", true, false},  {0x113BB, 0x113C0, "Mn", true, false},
    {0x113C2, 0x113C2, "Mc", true, false},  {0x113C5, 0x113C5, "Mc", true, false},
    {0x113C7, 0x113CA, "Mc", true, false},  {0x113CC, 0x113CD, "Mc", true, false},
    {0x113CE, 0x113CE, "Mn", false, false}, {0x113CF, 0x113CF, "Mc", false, false},
    {0x113D0, 0x113D0, "Mn", false, false}, {0x113D1, 0x113D1, "Lo", true, false},
    {0x113D2, 0x113D2, "Mn", false, false}, {0x113D3, 0x113D3, "Lo", true, false},
    {0x113D4, 0x113D5, "Po", false, false}, {0x113D7, 0x113D8, "Po", false, false},
    {0x113E1, 0x113E2, "Mn", false, false}, {0x116D0, 0x116E3, "Nd", false, false},
    {0x11B00, 0x11B09, "Po", false, false}, {0x11BC0, 0x11BE0, "Lo", true, false},
    {0x11BE1, 0x11BE1, "Po", false, false}, {0x11BF0, 0x11BF9, "Nd", false, false},
    {0x11F00, 0x11F01, "Mn", true, false},  {0x11F02, 0x11F02, "Lo", true, false},
    {0x11F03, 0x11F03, "Mc", true, false},  {0x11F04, 0x11F10, "Lo", true, false},
    {0x11F12, 0x11F33, "Lo", true, false},  {0x11F34, 0x11F35, "Mc", true, false},
    {0x11F36, 0x11F3A, "Mn", true, false},  {0x11F3E, 0x11F3F, "Mc", true, false},
    {0x11F40, 0x11F40, "Mn", true, false},  {0x11F41, 0x11F41, "Mc", false, false},
    {0x11F42, 0x11F42, "Mn", false, false}, {0x11F43, 0x11F4F, "Po", false, false},
    {0x11F50, 0x11F59, "Nd", false, false}, {0x11F5A, 0x11F5A, "Mn", false, false},
    {0x1342F, 0x1342F, "Lo", true, false},  {0x13439, 0x1343F, "Cf", false, false},
    {0x13440, 0x13440, "Mn", false, false}, {0x13441, 0x13446, "Lo", true, false},
    {0x13447, 0x13455, "Mn", false, false}, {0x13460, 0x143FA, "Lo", true, false},
    {0x16100, 0x1611D, "Lo", true, false},  {0x1611E, 0x16129, "Mn", true, false},
    {0x1612A, 0x1612C, "Mc", true, false},  {0x1612D, 0x1612E, "Mn", true, false},
    {0x1612F, 0x1612F, "Mn", false, false}, {0x16130, 0x16139, "Nd", false, false},
    {0x16D40, 0x16D42, "Lm", true, false},  {0x16D43, 0x16D6A, "Lo", true, false},
    {0x16D6B, 0x16D6C, "Lm", true, false},  {0x16D6D, 0x16D6F, "Po", false, false},
    {0x16D70, 0x16D79, "Nd", false, false}, {0x18CFF, 0x18CFF, "Lo", true, false},
    {0x1B132, 0x1B132, "Lo", true, false},  {0x1B155, 0x1B155, "Lo", true, false},
    {0x1CC00, 0x1CCEF, "So", false, false}, {0x1CCF0, 0x1CCF9, "Nd", false, false},
    {0x1CD00, 0x1CEB3, "So", false, false}, {0x1D2C0, 0x1D2D3, "No", false, false},
    {0x1DF25, 0x1DF2A, "Ll", true, false},  {0x1E030, 0x1E06D, "Lm", true, false},
    {0x1E08F, 0x1E08F, "Mn", true, false},  {0x1E4D0, 0x1E4EA, "Lo", true, false},
    {0x1E4EB, 0x1E4EB, "Lm", true, false},  {0x1E4EC, 0x1E4EF, "Mn", false, false},
    {0x1E4F0, 0x1E4F9, "Nd", false, false}, {0x1E5D0, 0x1E5ED, "Lo", true, false},
    {0x1E5EE, 0x1E5EF, "Mn", false, false}, {0x1E5F0, 0x1E5F0, "Lo", true, false},
    {0x1E5F1, 0x1E5FA, "Nd", false, false}, {0x1E5FF, 0x1E5FF, "Po", false, false},
    {0x1F6DC, 0x1F6DC, "So", false, false}, {0x1F774, 0x1F776, "So", false, false},
    {0x1F77B, 0x1F77F, "So", false, false}, {0x1F7D9, 0x1F7D9, "So", false, false},
    {0x1F8B2, 0x1F8BB, "So", false, false}, {0x1F8C0, 0x1F8C1, "So", false, false},
    {0x1FA75, 0x1FA77, "So", false, false}, {0x1FA87, 0x1FA89, "So", false, false},
    {0x1FA8F, 0x1FA8F, "So", false, false}, {0x1FAAD, 0x1FAAF, "So", false, false},
    {0x1FABB, 0x1FABF, "So", false, false}, {0x1FAC6, 0x1FAC6, "So", false, false},
    {0x1FACE, 0x1FACF, "So", false, false}, {0x1FADA, 0x1FADC, "So", false, false},
    {0x1FADF, 0x1FADF, "So", false, false}, {0x1FAE8, 0x1FAE9, "So", false, false},
    {0x1FAF7, 0x1FAF8, "So", false, false}, {0x1FBCB, 0x1FBEF, "So", false, false},
    {0x2B739, 0x2B739, "Lo", true, true},   {0x2EBF0, 0x2EE5D, "Lo", true, true},
    {0x31350, 0x323AF, "Lo", true, true}};

}  // namespace gradus
