#!/usr/bin/env bash
# Makes two locales: "comma", which writes 2.5 as 2,5 and 1000 as 1.000, and "arabic", whose decimal point has two bytes:
# make_locales.sh FOLDER; then LOCPATH=FOLDER LC_NUMERIC=comma. Needs localedef alone (libc-bin): what Debian's package "locales" holds is written here.
set -euo pipefail
rm -rf "$1" && mkdir -p "$1" && cd "$1"
cat > charmap <<'EOF'
<code_set_name> UTF-8
<comment_char> %
<escape_char> /
<mb_cur_max> 2
CHARMAP
<U0000>..<U007F> /x00
<U066B> /xd9/xab
END CHARMAP
EOF
make() {
  printf 'comment_char %%\nescape_char /\nLC_NUMERIC\ndecimal_point "%s"\nthousands_sep "."\ngrouping 3;3\nEND LC_NUMERIC\n' "$2" > "$1.source"
  localedef --quiet -c -f ./charmap -i "./$1.source" "./$1" 2> "$1.warnings" || true  # of the categories that are left out
  [ "$(LOCPATH=$PWD LC_NUMERIC=$1 locale decimal_point)" = "$3" ]
}
make comma , ,
make arabic '<U066B>' $'\xd9\xab'
