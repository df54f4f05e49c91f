#include "io/bzip2.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace bayesflow::io {
namespace {

[[noreturn]] void damaged() { throw std::runtime_error("it is damaged, or was not compressed by bzip2"); }

/// The most significant bit of each byte comes first.
class Bits {
 public:
  explicit Bits(std::string_view bytes) : bytes_(bytes) {}
  std::uint32_t take(int count) {
    std::uint32_t out = 0;
    for (; count > 0; --count) {
      if (position_ >= 8 * bytes_.size()) throw std::runtime_error("it is cut short");
      const auto byte = static_cast<unsigned char>(bytes_[position_ / 8]);
      out = out << 1 | (byte >> (7 - position_ % 8) & 1u);
      ++position_;
    }
    return out;
  }
  std::uint64_t take48() {
    const std::uint64_t high = take(24);
    return high << 24 | take(24);
  }
  void to_byte() { position_ = (position_ + 7) / 8 * 8; }
  [[nodiscard]] bool at_end() const { return position_ >= 8 * bytes_.size(); }

 private:
  std::string_view bytes_;
  std::size_t position_ = 0;  // in bits
};

/// CRC-32 of the polynomial 0x04C11DB7, most significant bit first.
constexpr std::array<std::uint32_t, 256> kCrcOfByte = [] {
  std::array<std::uint32_t, 256> out{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i << 24;
    for (int k = 0; k < 8; ++k) c = c << 1 ^ (c >> 31 ? 0x04C11DB7u : 0u);
    out[i] = c;
  }
  return out;
}();

std::uint32_t crc_of(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (const char byte : bytes) crc = crc << 8 ^ kCrcOfByte[crc >> 24 ^ static_cast<unsigned char>(byte)];
  return ~crc;
}

/// A canonical Huffman code: shorter codes first, symbols of one length in order.
struct Huffman {
  static constexpr int kLongest = 20;
  std::array<std::uint32_t, kLongest + 2> first{}, count{}, offset{};  // by length
  std::vector<std::uint16_t> symbols{};

  explicit Huffman(const std::vector<int>& lengths) {
    for (const int length : lengths) ++count[static_cast<std::size_t>(length)];
    std::uint32_t code = 0, before = 0;
    for (std::size_t length = 1; length <= kLongest; ++length) {
      code <<= 1;
      first[length] = code;
      offset[length] = before;
      code += count[length];
      before += count[length];
    }
    for (int length = 1; length <= kLongest; ++length)
      for (std::size_t s = 0; s < lengths.size(); ++s)
        if (lengths[s] == length) symbols.push_back(static_cast<std::uint16_t>(s));
  }
  [[nodiscard]] std::uint16_t next(Bits& bits) const {
    std::uint32_t code = 0;
    for (std::size_t length = 1; length <= kLongest; ++length) {
      code = code << 1 | bits.take(1);
      if (code >= first[length] && code - first[length] < count[length]) return symbols[offset[length] + code - first[length]];
    }
    damaged();
  }
};

template <class T>
T to_front(std::vector<T>& list, std::size_t index) {
  if (index >= list.size()) damaged();
  const auto at = list.begin() + static_cast<std::ptrdiff_t>(index);
  std::rotate(list.begin(), at, at + 1);
  return list.front();
}

/// The block's bytes in the order of the Burrows-Wheeler transform.
std::vector<std::uint8_t> transformed(Bits& bits, std::size_t block_size) {
  std::vector<std::uint8_t> used;
  const std::uint32_t groups = bits.take(16);
  for (int g = 0; g < 16; ++g) {
    if (!(groups >> (15 - g) & 1u)) continue;
    const std::uint32_t members = bits.take(16);
    for (int m = 0; m < 16; ++m)
      if (members >> (15 - m) & 1u) used.push_back(static_cast<std::uint8_t>(16 * g + m));
  }
  const std::uint32_t num_tables = bits.take(3), num_selectors = bits.take(15);
  if (used.empty() || num_tables < 2 || num_tables > 6 || num_selectors == 0) damaged();
  std::vector<std::uint8_t> order(num_tables), selectors(num_selectors);
  std::iota(order.begin(), order.end(), std::uint8_t{0});
  for (std::uint8_t& selector : selectors) {
    std::size_t index = 0;
    while (bits.take(1)) ++index;
    selector = to_front(order, index);
  }
  const std::size_t num_symbols = used.size() + 2;  // two for runs, one for each byte but the first of the list, the end
  std::vector<Huffman> tables;
  for (std::uint32_t t = 0; t < num_tables; ++t) {
    std::vector<int> lengths(num_symbols);
    int length = static_cast<int>(bits.take(5));
    for (int& l : lengths) {
      while (bits.take(1)) length += bits.take(1) ? -1 : 1;
      if (length < 1 || length > Huffman::kLongest) damaged();
      l = length;
    }
    tables.emplace_back(lengths);
  }
  std::vector<std::uint8_t> out;
  std::size_t run = 0, weight = 1;
  for (std::size_t i = 0;; ++i) {
    if (i / 50 >= selectors.size()) damaged();
    const std::size_t symbol = tables[selectors[i / 50]].next(bits);
    if (symbol <= 1) {  // a digit of a run's length, to the base 2 with the digits 1 and 2
      run += weight << symbol;
      weight <<= 1;
      if (run > block_size) damaged();
      continue;
    }
    if (out.size() + run > block_size) damaged();
    out.insert(out.end(), run, used.front());
    run = 0;
    weight = 1;
    if (symbol == num_symbols - 1) return out;
    if (out.size() == block_size) damaged();
    out.push_back(to_front(used, symbol - 1));
  }
}

/// Undoes the transform from row `origin`, and then the first step of bzip2: four equal bytes are followed by how many more there are.
void append_block(const std::vector<std::uint8_t>& last, std::size_t origin, std::string& out, std::size_t max_bytes) {
  if (origin >= last.size()) damaged();
  std::array<std::size_t, 256> start{};
  for (const std::uint8_t byte : last) ++start[byte];
  std::exclusive_scan(start.begin(), start.end(), start.begin(), std::size_t{0});
  std::vector<std::uint32_t> next(last.size());
  for (std::size_t i = 0; i < last.size(); ++i) next[start[last[i]]++] = static_cast<std::uint32_t>(i);
  int same = 0, previous = -1;
  for (std::size_t i = 0, row = next[origin]; i < last.size(); ++i, row = next[row]) {
    const std::uint8_t byte = last[row];
    const std::size_t count = same == 4 ? byte : 1;
    if (out.size() + count > max_bytes) throw std::runtime_error("it holds more than " + std::to_string(max_bytes) + " bytes");
    if (same == 4) {
      out.append(count, static_cast<char>(previous));
      same = 0;
      previous = -1;
    } else {
      out.push_back(static_cast<char>(byte));
      same = byte == previous ? same + 1 : 1;
      previous = byte;
    }
  }
}

}  // namespace

std::string bunzip2(std::string_view compressed, std::size_t max_bytes) {
  constexpr std::uint64_t kBlock = 0x314159265359, kEnd = 0x177245385090;
  Bits bits(compressed);
  std::string out;
  do {
    if (bits.take(24) != ('B' << 16 | 'Z' << 8 | 'h')) damaged();
    const std::size_t level = std::size_t{bits.take(8)} - '0';
    if (level < 1 || level > 9) damaged();
    std::uint32_t stream_crc = 0;
    std::uint64_t magic = 0;
    while ((magic = bits.take48()) == kBlock) {
      const std::uint32_t crc = bits.take(32);
      if (bits.take(1)) throw std::runtime_error("it was written by a bzip2 before version 0.9.5; compress it again");
      const std::size_t origin = bits.take(24), begin = out.size();
      append_block(transformed(bits, 100'000 * level), origin, out, max_bytes);
      if (crc_of(std::string_view(out).substr(begin)) != crc) damaged();
      stream_crc = (stream_crc << 1 | stream_crc >> 31) ^ crc;
    }
    if (magic != kEnd || bits.take(32) != stream_crc) damaged();
    bits.to_byte();
  } while (!bits.at_end());
  return out;
}

}  // namespace bayesflow::io
