"""The C++ reference: one page a public header, made of Doxygen's XML of its doc comments and of what stands at its top, in the words of Sphinx' C++ domain."""

from __future__ import annotations

import pathlib
import re
import subprocess
import xml.etree.ElementTree as ElementTree

DOXYGEN = """
INPUT = {include}
STRIP_FROM_PATH = {include}
OUTPUT_DIRECTORY = {folder}
RECURSIVE = YES
FILE_PATTERNS = *.hpp
INPUT_FILTER = {filter}
GENERATE_HTML = NO
GENERATE_LATEX = NO
GENERATE_XML = YES
XML_PROGRAMLISTING = NO
QUIET = YES
WARN_IF_UNDOCUMENTED = NO
EXTRACT_ALL = YES
HIDE_FRIEND_COMPOUNDS = NO
AUTOLINK_SUPPORT = NO
SORT_MEMBER_DOCS = NO
MACRO_EXPANSION = YES
HAVE_DOT = NO
INCLUDE_GRAPH = NO
INCLUDED_BY_GRAPH = NO
EXCLUDE_SYMBOLS = *::detail *::detail::*
"""
# Indented lines of a comment are an example.
EXAMPLES = r"""awk '{ indented = /^ *\/\/\/   /; if (indented != inside) { match($0, /^ */); print substr($0, 1, RLENGTH) (indented ? \"/// @code\" : \"/// @endcode\") } inside = indented; print }'"""


def as_doxygen_reads(header):
    """The lines of a header after that filter: Doxygen's numbers of lines are those."""
    lines, inside = [], False
    for line in header.read_text(encoding="utf-8").splitlines():
        indented = bool(re.match(" *///   ", line))
        lines += [""] * (indented != inside)
        inside = indented
        lines.append(line)
    return lines


def run_doxygen(root: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """The folder of the XML. A comment that Doxygen cannot read is an error."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = DOXYGEN.format(include=root / "include", folder=folder, filter=EXAMPLES)
    said = subprocess.run(["doxygen", "-"], input=settings, text=True, check=True, stderr=subprocess.PIPE).stderr
    said = [line for line in said.splitlines() if not line.endswith("tag <class> found")]  # Doxygen 1.9 stumbles over constrained templates of its own making
    if said:
        raise ValueError("Doxygen cannot read these comments:\n" + "\n".join(said))
    return folder / "xml"


def escaped(text):
    return re.sub(r"([\\*`|])|(?<=\w)_(?!\w)", lambda m: "\\" + m[0], text)


def inline(node):
    """The text of a paragraph, with marks for code and emphasis."""
    out = escaped(node.text or "")
    for child in node:
        inside = "".join(child.itertext())
        if child.tag == "computeroutput" and inside.strip():
            out += f"\\ ``{inside.strip()}``\\ "
        elif child.tag in ("emphasis", "bold") and inside.strip():
            mark = "*" if child.tag == "emphasis" else "**"
            out += f"\\ {mark}{escaped(inside.strip())}{mark}\\ "
        elif child.tag == "ulink":
            out += f"`{escaped(inside)} <{child.get('url')}>`__"
        elif child.tag == "linebreak":
            out += " "
        elif child.tag in ("ndash", "mdash"):
            out += "--"
        elif child.tag not in BLOCKS:
            out += inline(child)
        out += escaped(child.tail or "")
    return out


BLOCKS = {"itemizedlist", "orderedlist", "programlisting", "verbatim", "preformatted", "simplesect", "parameterlist", "blockquote"}


def text_of_code(line):
    out = line.text or ""
    for child in line:
        out += (" " if child.tag == "sp" else text_of_code(child)) + (child.tail or "")
    return out


def blocks(node):
    """Lines of reStructuredText of a description."""
    lines = []

    def paragraph(words):
        words = re.sub(r"\s+", " ", words).strip()
        if words.replace("\\", "").strip():
            lines.extend([words, ""])

    for part in node.iter("para") if node.tag not in ("briefdescription", "detaileddescription", "listitem", "simplesect") else node:
        if part.tag != "para":
            continue
        words = escaped(part.text or "")
        for child in part:
            if child.tag not in BLOCKS:
                one = ElementTree.Element("para")
                one.append(child)
                words += inline(one)
                continue
            paragraph(words)
            words = escaped(child.tail or "")
            if child.tag in ("itemizedlist", "orderedlist"):
                for item in child.findall("listitem"):
                    inside = blocks(item)
                    lines.extend([("- " if k == 0 else "  ") + line if line else "" for k, line in enumerate(inside)])
            elif child.tag == "programlisting":
                text = [text_of_code(line) for line in child.iter("codeline")]
                is_code = text[-1].rstrip().endswith((";", "{", "}"))  # or else a formula
                lines.extend([f".. code-block:: {'cpp' if is_code else 'text'}", "   :force:", "", *("   " + line for line in text), ""])
            elif child.tag in ("verbatim", "preformatted"):
                lines.extend(["::", "", *("   " + line for line in "".join(child.itertext()).splitlines()), ""])
            elif child.tag == "simplesect":
                lines.extend(blocks(child))
            elif child.tag == "blockquote":
                lines.extend(["   " + line if line else "" for line in blocks(child)])
            else:
                raise ValueError(f"a doc comment has a {child.tag}, which this script does not know")
        paragraph(words)
    return lines


def description(node):
    return [line for tag in ("briefdescription", "detaileddescription") for line in blocks(node.find(tag))]


def plain(node, tag):
    """The text of a child element on one line, without attributes in double brackets."""
    child = node.find(tag)
    text = "" if child is None else re.sub(r"\s+", " ", "".join(child.itertext())).strip()
    return re.sub(r"\[\[\w+\]\]\s*", "", text)


def template(node):
    parameters = node.find("templateparamlist")
    if parameters is None:
        return ""
    shown = []
    for parameter in parameters.findall("param"):
        name, default = plain(parameter, "declname"), plain(parameter, "defval")
        shown.append(plain(parameter, "type") + (f" {name}" if name else "") + (f" = {default}" if default else ""))
    requires = plain(node, "requiresclause")
    return f"template<{', '.join(shown)}> " + (f"requires {requires} " if requires else "")


# What functions of every kind of options and enumerations do.
ALWAYS = {
    "describe": "The options by their names, for files, messages and Python (core/describe.hpp).",
    "names_of": "The names of the values in files, messages and Python (core/describe.hpp).",
    "validate": "Throws ConfigurationError, with the field, its value and what it must be, if they make no sense.",
}


def signature(node, scope=""):
    """(directive, signature, defaults with names of fields, which Sphinx does not read) of a function, variable, alias, enumeration or concept."""
    kind, name, type_, arguments = node.get("kind"), scope + plain(node, "name"), plain(node, "type"), plain(node, "argsstring")
    if kind == "function":
        words = [w for w, attribute in (("static", "static"), ("explicit", "explicit"), ("constexpr", "constexpr")) if node.get(attribute) == "yes" and w not in type_.split()]
        words += ["virtual"] if node.get("virt") in ("virtual", "pure-virtual") and "virtual" not in type_.split() and "override" not in arguments else []
        arguments = re.sub(r"\s*=\s*(0|default|delete)$", r" = \1", arguments)
        text = f"{template(node)}{' '.join([*words, type_, name])}{arguments}".replace("  ", " ")
        named = r"(\w+)\s*=\s*(\{\.[^{}]*\})"
        return "function", re.sub(named, r"\1", text), [f"Default of ``{argument}``: ``{value}``" for argument, value in re.findall(named, text)]
    if kind == "variable":
        initial = plain(node, "initializer")
        if "{." in initial:
            return "member", f"{template(node)}{type_} {name}{arguments}", [f"Default: ``{initial.lstrip('= ')}``"]
        return "member", f"{template(node)}{type_} {name}{arguments}" + (f" {initial}" if initial and len(initial) < 60 else ""), []
    if kind == "typedef":
        return "type", f"{template(node)}{name} = {type_}{arguments}", []
    if kind == "enum":
        return f"enum{'-class' if node.get('strong') == 'yes' else ''}", name, []
    return None


def members(nodes, source, scope="", bare=None):
    """Their directives and texts, in the order of the header: [(line, lines)]. Functions that follow one with a comment, without an empty line or a comment of their own, share it.
    `bare`: is told of what stands alone, below an empty line, without one."""
    groups = []  # (line of the first and of the last, directive, signatures, text)
    for node in sorted(nodes, key=lambda node: int(node.find("location").get("line"))):
        found = signature(node, scope)
        if not found:
            continue
        directive, words, defaults = found
        line, name = int(node.find("location").get("line")), plain(node, "name")
        text = description(node) or ([ALWAYS[name], ""] if name in ALWAYS else [])
        for default in defaults:
            text += [default, ""]
        for value in node.findall("enumvalue"):
            text += [f".. cpp:enumerator:: {plain(value, 'name')}", "", *("   " + part for part in description(value))]
        last = groups[-1] if groups else None
        between = source[last["last"] : line - 1] if last else []
        below = last and last["text"] and all(part.strip() and not part.strip().startswith("//") for part in between) and "///" not in source[last["last"] - 1]
        if below and not text and directive == last["directive"] == "function":
            last["signatures"].append(words)
            last["last"] = line
            continue
        if not text and bare is not None and not source[line - 2].strip():
            bare.append(name)
        groups.append({"first": line, "last": line, "directive": directive, "signatures": [words], "text": text})
    out = []
    for group in groups:
        head = f".. cpp:{group['directive']}:: "
        lines = [head + group["signatures"][0], *(" " * len(head) + words for words in group["signatures"][1:]), ""]
        out.append((group["first"], lines + ["   " + part if part else "" for part in group["text"]]))
    return out


def compound(node, name, inner, source):
    """A class or structure with its public and protected members; `inner`: the pages' lines of what is declared in it."""
    bases = [f"{base.get('prot')} {''.join(base.itertext())}" for base in node.findall("basecompoundref")]
    lines = [f".. cpp:{node.get('kind')}:: {template(node)}{name}" + (f" : {', '.join(bases)}" if bases else ""), "", *("   " + line for line in description(node))]
    inside = [m for m in node.iter("memberdef") if m.get("prot") in ("public", "protected") and m.get("kind") != "friend" and not plain(m, "name").startswith("@")]
    # A using declaration brings functions of a base once more: those that the class itself declares stand for them.
    arguments = lambda m: re.sub(r" ?= ?\{\}", "", plain(m, "argsstring")).partition(")")[0]  # noqa: E731
    inside = {(plain(m, "name"), arguments(m), plain(m, "type").startswith("using")): m for m in inside}.values()
    own = plain(node, "compoundname").rpartition("::")[2]
    expected = r"= ?(default|delete)$|^\(const " + own + r" ?&|^\(" + own + " ?&&"  # copies and moves
    inside = [m for m in inside if plain(m, "name") not in (own, f"~{own}") or not re.search(expected, plain(m, "argsstring")) or description(m)]
    for _, part in members(inside, source):
        lines += ["   " + line if line else "" for line in part]
    return lines + ["   " + line if line else "" for line in inner]


def introduction(header):
    """What stands at the top of a header."""
    lines = []
    for line in header.read_text(encoding="utf-8").splitlines():
        if not line.startswith("//"):
            break
        lines.append(line.lstrip("/"))
    text, out = [line[1:] if line.startswith(" ") else line for line in lines], []
    for k, line in enumerate(text):
        if line.startswith("   ") and (k == 0 or not text[k - 1].startswith("   ")):
            out += ["", "::", ""]
        elif k and text[k - 1].startswith("   ") and not line.startswith("   "):
            out += [""]
        out.append(line if line.startswith("   ") else re.sub(r"`([^`]+)`", r"``\1``", line) if "`" in line else escaped(line))
    return [*out, ""]


def pages(root: pathlib.Path, headers: list[str], xml: pathlib.Path) -> tuple[dict[str, str], list[str]]:
    """({header: its page}, classes, and what stands alone in namespaces, without a comment)."""
    found = {header: [] for header in headers}  # (line, lines) of each
    sources = {header: as_doxygen_reads(root / "include" / header) for header in headers}
    bare, namespaces, compounds = [], [], {}
    for path in sorted(xml.glob("*.xml")):
        for node in ElementTree.parse(path).getroot().findall("compounddef"):
            if node.get("kind") == "namespace":
                namespaces.append(node)
            elif node.get("kind") in ("class", "struct", "union", "concept") and node.get("prot") in (None, "public", "protected"):
                compounds[node.get("id")] = node
            elif node.get("kind") == "file":
                for m in node.iter("memberdef"):
                    if m.get("kind") == "define":
                        where = m.find("location")
                        found[where.get("file")].append((int(where.get("line")), [f".. c:macro:: {plain(m, 'name')}", "", *("   " + line for line in description(m))]))
    names = {plain(node, "compoundname") for node in namespaces}
    classes = {plain(node, "compoundname"): node for node in compounds.values()}

    def rendered(node):
        full, header = plain(node, "compoundname"), node.find("location").get("file")
        outer, _, own = full.rpartition("::")
        inner = [line for ref in node.findall("innerclass") if ref.get("refid") in compounds for line in rendered(compounds[ref.get("refid")])]
        if not description(node):
            bare.append(f"{header}: {full}")
        return compound(node, full if outer in names else own, inner, sources[header])

    for full, node in classes.items():
        where = node.find("location")
        if full.rpartition("::")[0] in classes:
            continue  # within its class
        if node.get("kind") == "concept":
            lines = [f".. cpp:concept:: {template(node)}{full}", "", *("   " + line for line in description(node))]
        else:
            lines = rendered(node)
        found[where.get("file")].append((int(where.get("line")), lines))
    for namespace in namespaces:
        scope = plain(namespace, "compoundname") + "::"
        for header in headers:
            nodes, without = [m for m in namespace.iter("memberdef") if m.find("location").get("file") == header], []
            found[header] += members(nodes, sources[header], scope, without)
            described = {plain(m, "name") for m in nodes if description(m)}  # overloads share a comment
            bare += [f"{header}: {scope}{name}" for name in without if name not in described]
    out = {}
    for header, parts in found.items():
        title = header.removeprefix("bayesflow/")
        lines = [title, "=" * len(title), "", f"``#include <{header}>``", "", *introduction(root / "include" / header)]
        for _, part in sorted(parts, key=lambda p: p[0]):
            lines += part
        out[header] = "\n".join(line.rstrip() for line in lines) + "\n"
    return out, bare
