// Philox-4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3; SC 2011) of N counters side by side.
#pragma once

#include <cstdint>

namespace dnncore::baseline {

// words[w][c] is word w of counter c, and then of its random numbers.
template <int N>
void philox_4x32_10(uint32_t (&words)[4][N], uint32_t key0, uint32_t key1) {
  auto& [w0, w1, w2, w3] = words;
  for (int round = 0; round < 10; ++round, key0 += 0x9e3779b9u, key1 += 0xbb67ae85u)
    for (int c = 0; c < N; ++c) {
      const uint64_t a = uint64_t{w0[c]} * 0xd2511f53u, b = uint64_t{w2[c]} * 0xcd9e8d57u;
      w0[c] = static_cast<uint32_t>(b >> 32) ^ w1[c] ^ key0;
      w2[c] = static_cast<uint32_t>(a >> 32) ^ w3[c] ^ key1;
      w1[c] = static_cast<uint32_t>(b);
      w3[c] = static_cast<uint32_t>(a);
    }
}

}  // namespace dnncore::baseline
