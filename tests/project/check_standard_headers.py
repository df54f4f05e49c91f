#!/usr/bin/env python3
"""A file that uses std::sort includes <algorithm>, itself or through a header of the project: what a standard header includes by itself differs between libraries
and their versions. (Names that only one header declares; what other standard headers must bring, by the standard or in every library, counts.)"""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])
NAMES = {
    "algorithm": r"(ranges::)?(sort|stable_sort|partial_sort|nth_element|min_element|max_element|minmax|minmax_element|clamp|copy|copy_n|copy_if|fill|fill_n|find|find_if"
    r"|find_if_not|any_of|all_of|none_of|count|count_if|transform|reverse|rotate|lower_bound|upper_bound|equal_range|equal|remove_if|replace|unique|generate|is_sorted"
    r"|for_each|max|min|binary_search|lexicographical_compare|search|mismatch|adjacent_find|partition|copy_backward|move_backward)\s*[(<]",
    "array": r"array<",
    "atomic": r"atomic\b",
    "bit": r"(bit_cast|bit_width|popcount|countr_zero|bit_ceil|has_single_bit|endian)\b",
    "charconv": r"(from_chars|to_chars)\b",
    "chrono": r"chrono::",
    "cmath": r"(sqrt|exp|log|log1p|expm1|pow|sin|cos|tan|tanh|atan|atan2|floor|ceil|round|lround|isfinite|isnan|isinf|erf|erfc|lgamma|tgamma|hypot|fabs|nextafter|cbrt"
    r"|log2|log10|llround|trunc|signbit|copysign|fmod|asin|acos|sinh|cosh)\s*\(",
    "condition_variable": r"condition_variable\b",
    "cstdint": r"u?int(8|16|32|64|ptr)_t",
    "cstdio": r"(fopen|FILE|fprintf|printf|puts|fputs|snprintf|fclose|fflush)\b",
    "cstdlib": r"(getenv|exit|abort|strtod|strtoul|strtoull|strtoll|strtol|atoi|atof|system|malloc|free|_Exit)\b",
    "csignal": r"(signal|raise|sig_atomic_t)\b",
    "cstring": r"(memcpy|memset|memcmp|strlen|strcmp|strerror|memmove)\b",
    "deque": r"deque<",
    "exception": r"(exception_ptr|current_exception|rethrow_exception|uncaught_exceptions)\b",
    "filesystem": r"filesystem::",
    "fstream": r"(ofstream|ifstream|fstream)\b",
    "functional": r"(function<|greater\b|less<|hash<|reference_wrapper)",
    "future": r"(future<|promise<|async\()",
    "iostream": r"(cout|cerr|cin)\b",
    "limits": r"numeric_limits\b",
    "map": r"(map|multimap)<",
    "memory": r"(unique_ptr|shared_ptr|make_unique|make_shared|weak_ptr)\b",
    "mutex": r"(mutex|lock_guard|unique_lock|scoped_lock|once_flag|call_once)\b",
    "new": r"(bad_alloc|nothrow)\b",
    "numbers": r"numbers::",
    "numeric": r"(accumulate|iota|inner_product|partial_sum|reduce|exclusive_scan|inclusive_scan|gcd|lcm|midpoint)\b",
    "optional": r"(optional<|nullopt)",
    "queue": r"(queue|priority_queue)<",
    "random": r"(mt19937|normal_distribution|random_device)\b",
    "regex": r"regex\b",
    "set": r"(set|multiset)<",
    "span": r"span<",
    "sstream": r"(ostringstream|istringstream|stringstream)\b",
    "stdexcept": r"(runtime_error|invalid_argument|logic_error|out_of_range|length_error)\b",
    "string": r"(string|to_string|stoi|stod|stoll|stoull)\b",
    "string_view": r"string_view\b",
    "system_error": r"(error_code|system_error|system_category|generic_category)\b",
    "thread": r"(thread|this_thread|jthread)\b",
    "tuple": r"(tuple<|tie\(|make_tuple|apply\()",
    "type_traits": r"(is_same|decay|conditional|enable_if|remove_cvref|is_arithmetic|is_convertible|is_floating_point|invoke_result|is_base_of|is_integral)(_v|_t)?<",
    "unordered_map": r"unordered_map<",
    "utility": r"(pair<|exchange\(|index_sequence)",
    "variant": r"(variant<|visit\(|holds_alternative|get_if<)",
    "vector": r"vector<",
}
BRING = {
    "algorithm": {"utility"}, "array": {"utility"}, "cinttypes": {"cstdint"}, "filesystem": {"string", "system_error"}, "fstream": {"string"}, "functional": {"type_traits"},
    "future": {"system_error"}, "iostream": {"string"}, "map": {"utility"}, "memory": {"type_traits"}, "mutex": {"system_error"}, "optional": {"utility"}, "regex": {"string"},
    "sstream": {"string"}, "stdexcept": {"exception", "string"}, "string": {"string_view"}, "tuple": {"utility"}, "unordered_map": {"utility"}, "variant": {"utility"},
}  # fmt: skip
NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"', re.S)
FOLDERS = [ROOT / name for name in ("include", "src", "tests", "benchmarks", "python/src")]
files = {}


def load(path):
    if path not in files:
        text = path.read_text()
        own = [next((f / name for f in [path.parent, *FOLDERS] if (f / name).exists()), None) for name in re.findall(r'#include\s*["<]([\w./]+\.hpp)[">]', text)]
        files[path] = NOT_CODE.sub('""', text), set(re.findall(r"#include\s*<([^>]+)>", text)), [header for header in own if header]
    return files[path]


def included(path, seen):
    if path in seen:
        return set()
    seen.add(path)
    _, standard, own = load(path)
    return standard.union(*(included(header, seen) for header in own))


problems, checked = [], 0
for path in sorted(p for folder in [*FOLDERS, ROOT / "examples"] for p in folder.rglob("*.?pp")):
    have = included(path, set())
    have |= set().union(*(BRING.get(header, set()) for header in have))
    checked += 1
    for header, names in NAMES.items():
        use = None if header in have else re.search(r"\bstd::(" + names + ")", load(path)[0])
        if use:
            problems.append(f"{path.relative_to(ROOT)}: uses {use.group().rstrip('(< ')} and includes no <{header}>")
if checked < 100:
    problems.append(f"only {checked} files found")
print("\n".join(problems) or f"{checked} files include the standard headers of what they use")
sys.exit(bool(problems))
