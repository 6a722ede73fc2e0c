package agui_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
)

// exact is the value of a document, numbers as they are written.
func exact(t testing.TB, raw []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %.300s", err, raw)
	}
	return v
}

// diffed returns the patch from one document to another as text, and holds what a Thread makes of it to
// the other.
func diffed(t testing.TB, from, to string) string {
	t.Helper()
	ops, err := agui.Diff(json.RawMessage(from), json.RawMessage(to))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, op := range ops {
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %s", op.Op, op.Path, op.Value)))
	}
	text := strings.Join(list, ", ")
	got, err := patched(json.RawMessage(from), ops)
	if err != nil || !reflect.DeepEqual(exact(t, got), exact(t, []byte(to))) {
		t.Fatalf("from %.300s\n  to %.300s\n got %.300s, %v\n  by %.300s", from, to, got, err, text)
	}
	return text
}

func TestDiff(t *testing.T) {
	const pad = `,"pad":"a text that is longer than an operation, so that members are changed one by one"`
	obj := func(s string) string { return `{` + s + pad + `}` }
	long := func(s string) string { return `{` + s + pad + `,"more":"` + strings.Repeat("more ", 40) + `"}` }
	for _, tc := range []struct{ name, from, to, want string }{
		{"nothing", `{"a":[1,{"b":null}]}`, ` { "a" : [ 1, { "b":null } ] }`, ""},
		{"other order", `{"a":1,"b":2}`, `{"b":2,"a":1}`, ""},
		{"other spelling", `{"é":"a/"}`, `{"\u00e9":"\u0061\/"}`, ""},
		{"member changed", obj(`"a":1`), obj(`"a":2`), "replace /a 2"},
		{"member added", obj(`"a":1`), obj(`"a":1,"b":{"z":1,"a":2}`), `add /b {"z":1,"a":2}`},
		{"member removed", obj(`"a":1,"b":2`), obj(`"b":2`), "remove /a"},
		{"deep", obj(`"a":{"b":[{"c":1` + pad + `}]}`), obj(`"a":{"b":[{"c":2` + pad + `}]}`), "replace /a/b/0/c 2"},
		{"to null and back", obj(`"a":1,"b":null`), obj(`"a":null,"b":1`), "replace /a null, replace /b 1"},
		{"null removed and added", obj(`"a":null`), obj(`"b":null`), "remove /a, add /b null"},
		{"other type", obj(`"a":{}`), obj(`"a":[]`), "replace /a []"},
		{"large numbers", obj(`"a":9007199254740992`), obj(`"a":9007199254740993`), "replace /a 9007199254740993"},
		{"numbers as they are written", obj(`"a":1.0,"b":1e400,"c":-0`), obj(`"a":1,"b":1e401,"c":0`), "replace /a 1, replace /b 1e401, replace /c 0"},
		{"escaped names", obj(`"a/b~c":1,"~1":1,"\"":1`), obj(`"a/b~c":2,"~1":2,"\"":2`), `replace /a~1b~0c 2, replace /~01 2, replace /" 2`},
		{"names that look like indexes", long(`"0":1,"-":1,"10":1,"1e1":1`), long(`"0":2,"-":2,"11":1,"1e1":2`), `remove /10, replace /0 2, replace /- 2, add /11 1, replace /1e1 2`},
		{"names like methods", obj(`"toString":1`), obj(`"toString":2,"hasOwnProperty":1`), "replace /toString 2, add /hasOwnProperty 1"},

		{"appended", `[1,2,3]`, `[1,2,3,4,5]`, "replace  [1,2,3,4,5]"},
		{"appended to a list", obj(`"l":["a longer text in a list","b"]`), obj(`"l":["a longer text in a list","b","c"]`), `add /l/2 "c"`},
		{"inserted", obj(`"l":["a longer text in a list","b"]`), obj(`"l":["a longer text in a list","x","b"]`), `add /l/1 "x"`},
		{"put first", obj(`"l":["a longer text in a list","b"]`), obj(`"l":["x","a longer text in a list","b"]`), `add /l/0 "x"`},
		{"taken out", obj(`"l":["a longer text in a list","x","b"]`), obj(`"l":["a longer text in a list","b"]`), `remove /l/1`},
		{"several taken out", obj(`"l":["a longer text in a list, even longer than that",1,2,3,"b"]`), obj(`"l":["a longer text in a list, even longer than that","b"]`), `remove /l/3, remove /l/2, remove /l/1`},
		{"changed and shorter", obj(`"l":["a longer text in a list, even longer than that",1,2,"b"]`), obj(`"l":["a longer text in a list, even longer than that",3,"b"]`), `replace /l/1 3, remove /l/2`},
		{"repeated elements", obj(`"l":["a longer text in a list","a longer text in a list"]`), obj(`"l":["a longer text in a list"]`), `remove /l/1`},
		{"emptied", obj(`"l":[1]`), obj(`"l":[]`), `remove /l/0`},

		{"root of another type", `{"a":1}`, `[1]`, "replace  [1]"},
		{"root null", `{}`, `null`, "replace  null"},
		{"root text", `"a"`, `"b"`, `replace  "b"`},
		{"all of it", `{"a":1,"b":2,"c":3}`, `{"d":1,"e":2,"f":3}`, `replace  {"d":1,"e":2,"f":3}`},

		{"empty name", obj(`"o":{"":1}`), obj(`"o":{"":2}`), `replace /o {"":2}`},
		{"empty name that stays", obj(`"o":{"":1,"a":[]` + pad + `}`), obj(`"o":{"":1,"a":1` + pad + `}`), `replace /o/a 1`},
		{"through an empty name", obj(`"o":{"":{"a":1}}`), obj(`"o":{"":{"a":2}}`), `replace /o {"":{"a":2}}`},
		{"prototype added", obj(`"o":{}`), obj(`"o":{"__proto__":1}`), `replace /o {"__proto__":1}`},
		{"prototype removed", obj(`"o":{"__proto__":1}`), obj(`"o":{}`), `replace /o {}`},
		{"constructor", obj(`"o":{"constructor":{"prototype":1}}`), obj(`"o":{"constructor":{"prototype":2}}`), `replace /o {"constructor":{"prototype":2}}`},
		{"zero first", obj(`"o":{"01":1}`), obj(`"o":{"01":2}`), `replace /o {"01":2}`},
		{"negative", obj(`"o":{"-1":1}`), obj(`"o":{"-1":2,"+1":1}`), `replace /o {"-1":2,"+1":1}`},
		{"empty name in the root", `{"":1,"a":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`, `{"":2,"a":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`, `replace  {"":2,"a":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`},
		{"member twice", obj(`"o":{"a":1,"a":2}`), obj(`"o":{"a":3}`), `replace /o {"a":3}`},
		{"half a character", obj(`"o":"\ud800"`), obj(`"o":"\ud801"`), `replace /o "\ud801"`},
		{"half a character in a name", obj(`"o":{"\ud800":1}`), obj(`"o":{"\ud800":2}`), `replace /o {"\ud800":2}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := diffed(t, tc.from, tc.to); got != tc.want {
				t.Errorf("\n got %s\nwant %s", got, tc.want)
			}
		})
	}
}

// TestDiffOfNoJSON: names no document.
func TestDiffOfNoJSON(t *testing.T) {
	for _, pair := range [][2]string{{"{", "{}"}, {"{}", "1 2"}, {"", "{}"}, {"{}", "nul"}} {
		if ops, err := agui.Diff(json.RawMessage(pair[0]), json.RawMessage(pair[1])); err == nil || ops != nil {
			t.Errorf("%q: %v, %v", pair, ops, err)
		}
	}
}

// TestDiffHasAtMostSoManyOperations: what needs more is replaced, as small a part as possible.
func TestDiffHasAtMostSoManyOperations(t *testing.T) {
	list := func(n, odd int) string { // elements so long that each is changed by itself
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,{"n":%d,"text":"a text that is longer than an operation on it, so that it is not sent again"}`, i*odd)
		}
		return "[" + b.String()[1:] + "]"
	}
	for n, want := range map[int]int{1: 1, 1023: 1023, 1024: 1024, 1025: 1, 5000: 1} {
		from, to := list(n+1, 1), list(n+1, 2) // the first stays as it is
		for _, in := range []string{`%s`, `{"l":%s,"rest":"a"}`} {
			ops, err := agui.Diff(fmt.Appendf(nil, in, from), fmt.Appendf(nil, in, to))
			if err != nil || len(ops) != want {
				t.Errorf("%d changes in %s: %d operations, %v", n, in, len(ops), err)
			}
			if n <= 1025 {
				diffed(t, fmt.Sprintf(in, from), fmt.Sprintf(in, to))
			}
		}
	}
	// Two lists, of which only one is too long for what the other leaves.
	ops, err := agui.Diff(fmt.Appendf(nil, `{"a":%s,"b":%s}`, list(601, 1), list(601, 1)), fmt.Appendf(nil, `{"a":%s,"b":%s}`, list(601, 2), list(601, 2)))
	if err != nil || len(ops) != 601 || ops[600].Path != "/b" {
		t.Errorf("%d operations, %v", len(ops), err)
	}
}

// TestDiffOfDeepDocuments: below 64 levels parts are replaced, and no stack grows with the depth.
func TestDiffOfDeepDocuments(t *testing.T) {
	deep := func(n, leaf int) string {
		return strings.Repeat(`{"a":`, n) + fmt.Sprint(leaf) + strings.Repeat(`}`, n)
	}
	for _, n := range []int{1, 20, 63, 64, 65, 500} {
		diffed(t, deep(n, 1), deep(n, 2))
		diffed(t, strings.ReplaceAll(deep(n, 1), `{`, `{"pad":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",`), strings.ReplaceAll(deep(n, 2), `{`, `{"pad":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",`))
	}
	if _, err := agui.Diff([]byte(strings.Repeat("[", 1e6)+strings.Repeat("]", 1e6)), []byte("1")); err == nil {
		t.Error("encoding/json takes any depth now")
	}
}

// jsonGenerator makes documents with names and values that are hard to patch.
type jsonGenerator struct{ *rand.Rand }

func newGenerator(seed uint64) jsonGenerator {
	return jsonGenerator{rand.New(rand.NewPCG(seed, 2))}
}

// document is a random one.
func (g jsonGenerator) document() json.RawMessage {
	raw, _ := json.Marshal(g.value(4)) // it has nothing that cannot be encoded
	return raw
}

var diffNames = []string{
	"a", "b", "c", "items", "title", "é", "a/b", "~", "~1", "/", "", " ", "__proto__", "constructor", "prototype", "toString", "0", "1", "00", "01",
	"-1", "-", "+1", "10", "1e1", "9007199254740993", "99999999999999999999", `"`, `\`, "\x00\n", "\u2028", "😀", "length",
}

var diffLeaves = []string{
	"null", "true", "false", "0", "-0", "1", "1.0", "1e2", "9007199254740993", "-9007199254740993", "123456789012345678901234567890", "1e400", "0.1",
	`""`, `"a"`, `"\u0061"`, `"é"`, `"\u2028"`, `"😀"`, `"\ud83d\ude00"`, `"<&>"`, "{}", "[]",
}

func (g jsonGenerator) pick(list []string) string { return list[g.IntN(len(list))] }

func (g jsonGenerator) value(depth int) any {
	switch n := g.IntN(10); {
	case depth > 0 && n < 4:
		object := map[string]any{}
		for range g.IntN(6) {
			object[g.pick(diffNames)] = g.value(depth - 1)
		}
		return object
	case depth > 0 && n < 6:
		list := make([]any, g.IntN(6))
		for i := range list {
			list[i] = g.value(depth - 1)
		}
		return list
	}
	if g.IntN(4) == 0 {
		return strings.Repeat("long text ", g.IntN(8))
	}
	return json.RawMessage(g.pick(diffLeaves))
}

// change returns a value that differs from v a little, or not at all.
func (g jsonGenerator) change(v any) any {
	if g.IntN(12) == 0 {
		return g.value(2)
	}
	switch v := v.(type) {
	case map[string]any:
		object := map[string]any{}
		for _, key := range slices.Sorted(mapKeys(v)) {
			switch g.IntN(8) {
			case 0: // removed
			case 1, 2:
				object[key] = g.change(v[key])
			default:
				object[key] = v[key]
			}
		}
		if g.IntN(4) == 0 {
			object[g.pick(diffNames)] = g.value(1)
		}
		return object
	case []any:
		var list []any
		for _, element := range v {
			switch g.IntN(8) {
			case 0: // removed
			case 1:
				list = append(list, g.value(1), element)
			case 2:
				list = append(list, g.change(element))
			default:
				list = append(list, element)
			}
		}
		return append([]any{}, list...)
	}
	return v
}

func mapKeys(m map[string]any) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// TestDiffProperty: what a Thread makes of a document by its diff to another one is that one, digit by
// digit. e2e does the same with the library of the official client.
func TestDiffProperty(t *testing.T) {
	g := newGenerator(1)
	patches, operations, replaced := 0, 0, 0
	for range 10_000 {
		from := g.value(4)
		a, err := json.Marshal(from)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(g.change(from))
		if err != nil {
			t.Fatal(err)
		}
		switch text := diffed(t, string(a), string(b)); {
		case text == "":
		case strings.HasPrefix(text, "replace  "):
			replaced++
		default:
			patches++
			operations += strings.Count(text, " /")
		}
	}
	if patches < 2000 || operations < 2500 || replaced < 1000 {
		t.Errorf("%d patches of %d operations, %d documents replaced: too little was tried", patches, operations, replaced)
	}
}

func FuzzDiff(f *testing.F) {
	f.Add(`{"a":[1,2,{"b":"x"}],"":1}`, `{"a":[1,{"b":"y"},3],"__proto__":{}}`)
	f.Add(`{"01":1,"a/b":{"~":[[],{}]}}`, `{"01":2,"a/b":{"~":[{},[]]}}`)
	f.Add(`[1,2,3,4,5,6]`, `[1,3,5,6,7]`)
	f.Add(`{"a":1,"a":2}`, `{"a":"\ud800"}`)
	f.Fuzz(func(t *testing.T, from, to string) {
		if !json.Valid([]byte(from)) || !json.Valid([]byte(to)) || len(from)+len(to) > 1<<16 {
			return
		}
		if from != strings.ToValidUTF8(from, "") || to != strings.ToValidUTF8(to, "") {
			return // no event carries it
		}
		diffed(t, from, to)
	})
}
