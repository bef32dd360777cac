"""`--format`: what templates make of values, and what is said of mistakes. What is expected is Docker's own output."""

from __future__ import annotations

import json

import pytest

from kernelbox.cli.template_functions import FUNCTIONS
from kernelbox.cli.template_values import Row
from kernelbox.cli.templates import fields_of, render, render_rows
from kernelbox.errors import InvalidOption

DETAILS = {
    "Id": "4d356396",
    "Name": "/web",
    "State": {"Status": "running", "Running": True, "Paused": False, "Pid": 12, "Error": ""},
    "HostConfig": {"CapAdd": None, "PidsLimit": None, "PortBindings": None, "RestartPolicy": {"Name": "no", "Max": 0}},
    "Mounts": [{"Type": "bind", "Source": "/s"}, {"Type": "tmpfs", "Source": ""}],
    "Config": {"Env": ["A=1", "B=2"], "Labels": {"c.d": "<e>", "a": "b"}, "Entrypoint": None, "Volumes": None},
    "NetworkSettings": {"Networks": {"none": {"IPAddress": "10.0.0.2"}}},
}
DOCUMENT = fields_of(DETAILS)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{{.State.Status}}", "running"),
        ("{{ .Name}}{{.Id }}", "/web4d356396"),
        ("{{.Name }}}", "/web}"),
        ("{{$.Name}}", "/web"),
        (r"{{.Id}}\t\n", r"4d356396\t\n"),
        ("{{.State.Running}} {{.State.Pid}}", "true 12"),
        ("{{.Config.Env}} {{.Config.Labels}}", "[A=1 B=2] map[a:b c.d:<e>]"),
        ("{{.Config.Entrypoint}} {{.HostConfig.PidsLimit}} {{.Config.Volumes}}", "[] <nil> map[]"),
        ("{{.HostConfig.RestartPolicy}}", "{no 0}"),
        ("{{.State.Health}} {{.Config.StopSignal}}|", "<nil> |"),
        ("{{.Config.Labels.a}} {{.Config.Labels.zz}}", "b <no value>"),
        ("{{.Config.Labels.zz.b}}", "<no value>"),
        ('{{index .Config.Labels "c.d"}}|{{index .Config.Labels "zz"}}|', "<e>||"),
        ("{{index .Config.Env 0}} {{(index .Mounts 0).Source}}", "A=1 /s"),
        ("{{json .Config.Labels}} {{json .Config.Env}}", '{"a":"b","c.d":"<e>"} ["A=1","B=2"]'),
        ("{{json .Config.Entrypoint}} {{json .Config.Volumes}} {{json .State.Health}}", "null null null"),
        ("{{.State.Pid | json}} {{json .Name}}", '12 "/web"'),
        ("{{len .Mounts}} {{len .Name}} {{len .Config.Labels}} {{len .HostConfig.CapAdd}}", "2 4 2 0"),
        ("{{(printf \"%s\" .Name) | len}}", "4"),
    ],
)  # fmt: skip
def test_fields(template: str, text: str) -> None:
    assert render(template, DOCUMENT) == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{range .Mounts}}{{.Type}};{{end}}", "bind;tmpfs;"),
        ("{{range .HostConfig.CapAdd}}x{{else}}none{{end}}", "none"),
        ("{{range $v := .Config.Env}}{{$v}} {{end}}", "A=1 B=2 "),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}", "a=b c.d=<e> "),
        ("{{range $i, $e := .Config.Env}}{{if $i}},{{end}}{{$e}}{{end}}", "A=1,B=2"),
        ("{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{$v.IPAddress}}{{end}}", "none 10.0.0.2"),
        ("{{range .Mounts}}{{$.Name}}{{end}}", "/web/web"),
        ('{{range .Mounts}}{{if eq .Type "bind"}}{{continue}}{{end}}{{.Type}}{{end}}', "tmpfs"),
        ("{{range .Mounts}}{{.Type}}{{break}}{{end}}", "bind"),
        ("{{range .State.Pid}}x{{end}}", "x" * 12),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .State.Paused}}up{{else}}down{{end}}", "down"),
        ("{{if .State.Paused}}p{{else if .State.Running}}r{{else}}x{{end}}!", "r!"),
        ("{{if .State.Paused}}p{{else if .State.Error}}e{{else}}x{{end}}!", "x!"),
        ("{{if .State.Health}}{{.State.Health.Status}}{{else}}unchecked{{end}}", "unchecked"),
        ('{{if 0}}a{{end}}{{if ""}}b{{end}}{{if 0.0}}c{{end}}{{if .Config.Labels}}d{{end}}', "d"),
        ("{{with .State}}{{.Pid}}{{end}} {{with $x := .Name}}{{$x}} {{$.Id}}{{end}}", "12 /web 4d356396"),
        ("{{with .State.Health}}x{{else}}none{{end}}", "none"),
        ("{{$x := 1}}{{$x}}{{if true}}{{$x = 5}}{{$y := 3}}{{$y}}{{end}}{{$x}}", "135"),
        ('{{range .Config.Env}}{{$p := split . "="}}{{index $p 0}} {{end}}', "A B "),
        ("a {{- .State.Pid -}} b", "a12b"),
        ("a {{-   .State.Pid   -}}  \n b", "a12b"),
        ("{{/* c */}}x{{- /* c */ -}} y", "xy"),
        ("{{range .Mounts -}}  {{.Type}}  {{- end}}", "bindtmpfs"),
        ("{{- 3}} {{-3}}", "3 -3"),
    ],
)
def test_control(template: str, text: str) -> None:
    assert render(template, DOCUMENT) == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ('{{upper .Name}} {{lower "AB"}} {{title "ab cd-ef g_h"}}', "/WEB ab Ab Cd-Ef G_h"),
        ('{{join .Config.Env ","}} {{split "a,b" ","}}', "A=1,B=2 [a b]"),
        ("{{println .Name}}|", "/web\n|"),
        ('{{print 1 2 "a" "b" 3}} {{print}}', "1 2ab3 "),
        (
            "{{truncate .Name 2}} {{truncate .Name 20}} {{pad .Name 1 2}}| {{pad .State.Error 1 1}}|",
            "/w /web  /web  | |",
        ),
        ('{{.Name | upper | printf "%s-%s" "a"}}', "a-/WEB"),
        ("{{slice .Name 1 3}} {{slice .Name 1}}", "we web"),
        ('{{printf "%s %d %v %q %t %x %%" .Name .State.Pid .State.Pid .Name true 255}}', '/web 12 12 "/web" true ff %'),
        ('{{printf "%5d|%-5s|%05d|%+d|%10.3s|" 3 "a" 7 3 .Name}}', "    3|a    |00007|+3|       /we|"),
        ('{{printf "%d %s" "a" 5}} {{printf "%s"}}', "%!d(string=a) %!s(int=5) %!s(MISSING)"),
        ('{{printf "%s" 1 2}} {{printf "%z" 1}}', "%!s(int=1)%!(EXTRA int=2) %!z(int=1)"),
        ('{{printf "%.2f" 3.14159}} {{printf "%v" 1.5}} {{printf "%v" 1e21}} {{1.0}}', "3.14 1.5 1e+21 1"),
        ('{{printf "%s %q" .Config.Env .Config.Env}}', '[A=1 B=2] ["A=1" "B=2"]'),
        (r'{{"a\tb\u00e9"}} {{`a\tb`}} {{0x10}} {{true}}' + " {{'a'}}", "a\tbé a\\tb 16 true 97"),
        ('{{eq 1 1}} {{eq .Name "/web"}} {{eq 1 2 1}} {{eq 1 2}} {{ne 1 2}}', "true true true false true"),
        ("{{lt 1 2}} {{gt 1 2}} {{le 2 2}} {{ge 1 2}}", "true false true false"),
        ('{{and 1 0}}|{{and "" 1}}|{{or "" 2}}|{{or 0 ""}}|{{not 1}}', "0||2||false"),
        ("{{if and .State.Running (not .State.Paused)}}y{{end}}", "y"),
        ("{{or true (index .Mounts 9)}}", "true"),
        ("{{and false (index .Mounts 9)}}", "false"),
    ],
)
def test_functions(template: str, text: str) -> None:
    assert render(template, DOCUMENT) == text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{foo .}}", '1: function "foo" not defined'),
        ("{{.Name", "1: unclosed action"),
        ("a\n{{.Name", "2: unclosed action"),
        ("{{end}}", "1: unexpected {{end}}"),
        ("{{else}}", "1: unexpected {{else}}"),
        ("{{if .Name}}", "1: unexpected EOF"),
        ("{{if .Name}}a{{else}}b{{else}}c{{end}}", "1: expected end; found {{else}}"),
        ("{{if}}x{{end}}", "1: missing value for if"),
        ("{{}}", "1: missing value for command"),
        ("{{| upper}}", '1: unexpected "|" in command'),
        ("{{1)}}", "1: unexpected right paren"),
        ("{{(1}}", "1: unclosed left paren"),
        ("{{" + "(" * 51 + "1" + ")" * 51 + "}}", "1: max expression depth exceeded"),
        ("{{if 1}}" * 51 + "{{end}}" * 51, "1: max expression depth exceeded"),
        ("{{9223372036854775808}}", "1: integer overflow: 9223372036854775808"),
        ("{{1e999}}", "1: bad number syntax: 1e999"),
        ("{{#}}", '1: unexpected "#" in command'),
        ('{{"unclosed}}', "1: unterminated quoted string"),
        (r'{{"\q"}}', "1: invalid syntax"),
        ("{{/* c }}", "1: unclosed comment"),
        ("{{/* c */ x}}", "1: comment ends before closing delimiter"),
        ("{{break}}", "1: {{break}} outside {{range}}"),
        ("{{$y}}", '1: undefined variable "$y"'),
        ("{{$y = 1}}", '1: undefined variable "$y"'),
        ("{{if true}}{{$z := 3}}{{end}}{{$z}}", '1: undefined variable "$z"'),
        ('{{define "x"}}a{{end}}', "1: {{define}} is not supported"),
        ("{{.Foo}}", '1:2: executing "" at <.Foo>: map has no entry for key "Foo"'),
        ("{{.Config.Foo}}", '1:9: executing "" at <.Config.Foo>: map has no entry for key "Foo"'),
        ("a\né{{.Bar}}", '2:4: executing "" at <.Bar>: map has no entry for key "Bar"'),
        ("{{.State.Health.Status}}", '1:8: executing "" at <.State.Health.Status>: map has no entry for key "Health"'),
        ("{{.Name.Foo}}", '1:7: executing "" at <.Name.Foo>: can\'t evaluate field Foo in type string'),
        ("{{.Name .Id}}", '1:2: executing "" at <.Name>: Name is not a method but has arguments'),
        ("{{nil}}", '1:2: executing "" at <nil>: nil is not a command'),
        ("{{1 2}}", '1:2: executing "" at <1>: can\'t give argument to non-function 1'),
        ("{{upper 3}}", '1:8: executing "" at <3>: expected string; found 3'),
        ("{{upper .State.Pid}}", '1:14: executing "" at <.State.Pid>: wrong type for value; expected string; got int'),
        ("{{upper .Name .Name}}", '1:2: executing "" at <upper>: wrong number of args for upper: want 1 got 2'),
        ("{{not}}", '1:2: executing "" at <not>: wrong number of args for not: want 1 got 0'),
        ("{{len 3}}", '1:2: executing "" at <len 3>: error calling len: len of type int'),
        ("{{index .Mounts 5}}", '1:2: executing "" at <index .Mounts 5>: error calling index: index out of range: 5'),
        (
            "{{index .Config.Labels 1}}",
            '1:2: executing "" at <index .Config.Labels 1>: error calling index: value has type int; should be string',
        ),
        ('{{eq 1 "a"}}', '1:2: executing "" at <eq 1 "a">: error calling eq: incompatible types for comparison'),
        ("{{range .Name}}x{{end}}", '1:8: executing "" at <.Name>: range can\'t iterate over /web'),
    ],
)
def test_mistakes_are_said_in_the_words_of_docker(template: str, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        render(template, DOCUMENT)
    assert caught.value.message == f"template parsing error: template: :{message}"


def test_a_misspelt_field_has_a_hint() -> None:
    with pytest.raises(InvalidOption, match="did you mean 'Mounts'"):
        render("{{.Mount}}", DOCUMENT)


def test_json_is_whole_and_in_the_order_of_the_document() -> None:
    assert json.loads(render("json", DOCUMENT)) == DETAILS
    assert render("json", DOCUMENT) == render("{{json .}}", DOCUMENT)
    assert render("json", DOCUMENT).startswith('{"Id":"4d356396","Name":"/web","State":{"Status":')


def test_a_plain_map_has_no_value_for_other_keys() -> None:
    assert render("{{.a}} {{.b}} {{.b.c}}", {"a": 1}) == "1 <no value> <no value>"
    assert render("{{json .}}", {"b": "é<", "a": [1.5, None, True]}) == '{"a":[1.5,null,true],"b":"é<"}'


ROWS = ({"ID": "4d35", "Names": "web"}, {"ID": "b1", "Names": "a-longer-name"})
HEADERS = {"ID": "CONTAINER ID", "Names": "NAMES"}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.ID}}", "4d35\nb1\n"),
        (r"{{.ID}}\t{{.Names}}\n", "4d35\tweb\n\nb1\ta-longer-name\n\n"),
        ("json", '{"ID":"4d35","Names":"web"}\n{"ID":"b1","Names":"a-longer-name"}\n'),
        (r"table {{.Names}}\t{{.ID}}", "NAMES           CONTAINER ID\nweb             4d35\na-longer-name   b1\n"),
        ("table {{.ID}}", "CONTAINER ID\n4d35\nb1\n"),
        ("tablex {{.ID}}", "x CONTAINER ID\nx 4d35\nx b1\n"),
        (" table {{.ID}}", "table 4d35\ntable b1\n"),
        (r"table {{json .ID}}\t{{.Names | upper}}",
         'CONTAINER ID   NAMES\n"4d35"         WEB\n"b1"           A-LONGER-NAME\n'),
        (r'table {{truncate .ID 2}}\t{{join (split .Names "-") "+"}}',
         "CONTAINER ID   NAMES\n4d             web\nb1             a+longer+name\n"),
        (r'table {{range $i, $x := split .Names "-"}}{{$x}} {{end}}\t{{.ID}}',
         "\nweb              4d35\na longer name    b1\n"),
        ('{{if eq .ID "b1"}}{{.Names}}{{end}}', "\na-longer-name\n"),
    ],
)  # fmt: skip
def test_rows(template: str, text: str) -> None:
    assert render_rows(template, ROWS, HEADERS) == text


def test_no_rows_leave_the_header() -> None:
    assert render_rows(r"table {{.ID}}\t{{.Names}}", (), HEADERS) == "CONTAINER ID   NAMES\n"
    assert render_rows("json", (), HEADERS) == ""


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.Foo}}", '1:2: executing "" at <.Foo>: can\'t evaluate field Foo in type Row'),
        ("table {{.Foo}}", '1:2: executing "" at <.Foo>: can\'t evaluate field Foo in type Row'),
        ('{{.ID "x"}}', '1:2: executing "" at <.ID>: wrong number of args for ID: want 0 got 1'),
        ("{{foo .}}", '1: function "foo" not defined'),
    ],
)
def test_mistakes_in_rows(template: str, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        render_rows(template, ROWS, HEADERS)
    assert caught.value.message == f"template parsing error: template: :{message}"


def test_json_of_a_row_is_sorted_and_fit_for_a_web_page() -> None:
    assert render("json", Row({"b": "<&>", "a": ""})) == r'{"a":"","b":"\u003c\u0026\u003e"}'


def test_every_function_says_how_many_words_it_takes() -> None:
    for name, function in FUNCTIONS.items():
        least = len(function.takes) - function.more
        assert function.wrong_count(name, least) == ""
        assert function.wrong_count(name, least - 1)
