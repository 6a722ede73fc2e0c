package main

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// corpus is what mutations are made of: the sample data, and all that occurs in it.
type corpus struct {
	agreed    []string // changed events of which both sides think the same
	events    []*node
	names     []string // of members
	values    []*node
	tags      []string
	sequences [][]string
}

// nested is a value that nests n deep.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// junk is what a value may turn into.
var junk = []string{
	"null", "true", "false", "0", "-0", "1", "-1", "1.5", "5.0", "5e0", "1e3", "-1e-3", "9007199254740991", "9007199254740992",
	"-9007199254740992", "1e21", "123456789012345678901234567890", `""`, `"x"`, `"assistant"`, `"user"`, `"/a/b"`, `"a/b"`, `"/~2"`,
	`"\ud83d"`, `"\ude00x"`, `"\u0000"`, `"🏃\u2028"`, "[]", "{}", "[null]", "[[]]", `[""]`, `{"":null}`, `{"type":"x"}`,
	`{"type":null}`, `{"type":"text","text":""}`, `{"a":{"b":[1,null]}}`, `{"__proto__":1}`, nested(30), nested(70),
}

// strangers are names of members that nobody knows, or that a language knows in its own way.
var strangers = []string{"later", "", "toString", "constructor", "__proto__", "hasOwnProperty", "__proto__", "Type", "MESSAGEID", "message_id", "ſtep"}

// laterTags are kinds that nobody knows, and some that were retired.
var laterTags = []string{
	"later", "", "LATER", "toString", "__proto__", "binary", "THINKING_START", "THINKING_END",
	"THINKING_TEXT_MESSAGE_START", "THINKING_TEXT_MESSAGE_CONTENT", "THINKING_TEXT_MESSAGE_END",
}

var tagNames = []string{`"type"`, `"role"`, `"op"`, `"status"`, `"subtype"`}

func newCorpus(lines []string) *corpus {
	c := &corpus{}
	seen := map[string]bool{}
	for _, line := range lines {
		event := parse(line)
		c.events = append(c.events, event)
		for _, n := range event.all(nil) {
			for _, m := range n.members {
				if !seen["name "+m.name] {
					seen["name "+m.name] = true
					c.names = append(c.names, m.name)
				}
				if slices.Contains(tagNames, m.name) && !seen["tag "+m.value.String()] {
					seen["tag "+m.value.String()] = true
					c.tags = append(c.tags, m.value.String())
				}
			}
			if text := n.String(); len(text) < 300 && !seen[text] {
				seen[text] = true
				c.values = append(c.values, n)
			}
		}
	}
	for _, tag := range laterTags {
		c.tags = append(c.tags, quote(tag))
	}
	return c
}

func (c *corpus) name(r *rand.Rand) string {
	if r.IntN(4) == 0 {
		return quote(pick(r, strangers))
	}
	return pick(r, c.names)
}

func (c *corpus) value(r *rand.Rand) *node {
	if r.IntN(2) == 0 {
		return pick(r, c.values).clone()
	}
	return &node{raw: pick(r, junk)}
}

// event is the text of an event of the sample data, changed in one to three places.
func (c *corpus) event(r *rand.Rand) string {
	event := pick(r, c.events)
	for len(event.String()) > 4096 && r.IntN(50) > 0 {
		event = pick(r, c.events)
	}
	event = event.clone()
	for range 1 + r.IntN(3) {
		c.mutate(r, event)
	}
	text := event.String()
	switch r.IntN(200) {
	case 0: // it breaks off
		return strings.ToValidUTF8(text[:r.IntN(len(text))], "")
	case 1:
		i := r.IntN(len(text) + 1)
		return strings.ToValidUTF8(text[:i], "") + pick(r, []string{",", "}", "]", `"`, "\\", " ", "\t", "0", "null", "\x01"}) + strings.ToValidUTF8(text[i:], "")
	case 2:
		return pick(r, []string{"", " ", "null", "[]", "7", `"RAW"`, "[" + text + "]", " " + text + "\n", "\ufeff" + text})
	}
	return text
}

// mutate changes one place of an event.
func (c *corpus) mutate(r *rand.Rand, event *node) {
	all := event.all(nil)
	n := pick(r, all)
	if r.IntN(3) == 0 { // most values lie deep in few events
		n = event
	}
	switch {
	case n.kind == '{' && len(n.members) > 0:
		c.mutateObject(r, n)
	case n.kind == '[':
		c.mutateArray(r, n)
	case n == event || n == event.get("type") && r.IntN(8) > 0: // most should stay what they are
	default:
		*n = *c.value(r)
	}
}

func (c *corpus) mutateObject(r *rand.Rand, n *node) {
	place := func() (i int) {
		for range 3 {
			if i = r.IntN(len(n.members)); n.members[i].name != `"type"` {
				break
			}
		}
		return i
	}
	i, j := place(), place()
	m := &n.members[i]
	switch r.IntN(14) {
	case 0:
		n.members = slices.Delete(n.members, i, i+1)
	case 1:
		m.name = c.name(r)
	case 2:
		m.value = c.value(r)
	case 3:
		n.members = slices.Insert(n.members, r.IntN(len(n.members)+1), member{c.name(r), c.value(r)})
	case 4: // it stands twice
		twin := member{m.name, c.value(r)}
		if r.IntN(3) == 0 {
			twin.value = m.value.clone()
		}
		n.members = slices.Insert(n.members, r.IntN(len(n.members)+1), twin)
	case 5: // so does what says what the object is
		for _, m := range n.members {
			if slices.Contains(tagNames, m.name) {
				n.members = slices.Insert(n.members, r.IntN(len(n.members)+1), member{m.name, &node{raw: pick(r, c.tags)}})
				break
			}
		}
	case 6:
		for j := range n.members {
			if slices.Contains(tagNames, n.members[j].name) {
				n.members[j].value = &node{raw: pick(r, c.tags)}
			}
		}
	case 7, 8:
		n.members[i].value, n.members[j].value = n.members[j].value, n.members[i].value
	case 9:
		r.Shuffle(len(n.members), func(i, j int) { n.members[i], n.members[j] = n.members[j], n.members[i] })
	case 10: // a name with an escape
		if len(m.name) > 3 && m.name[1] < 0x80 && m.name[1] != '\\' {
			m.name = `"\u00` + string("0123456789abcdef"[m.name[1]>>4]) + string("0123456789abcdef"[m.name[1]&15]) + m.name[2:]
		}
	case 11:
		m.value = &node{raw: "null"}
	case 12, 13: // a stranger
		n.members = slices.Insert(n.members, r.IntN(len(n.members)+1), member{quote(pick(r, strangers)), c.value(r)})
	}
}

func (c *corpus) mutateArray(r *rand.Rand, n *node) {
	if len(n.elements) == 0 {
		n.elements = append(n.elements, c.value(r))
		return
	}
	i := r.IntN(len(n.elements))
	switch r.IntN(6) {
	case 0:
		n.elements = slices.Delete(n.elements, i, i+1)
	case 1:
		n.elements[i] = c.value(r)
	case 2:
		n.elements = slices.Insert(n.elements, i, c.value(r))
	case 3:
		n.elements = append(n.elements, n.elements[i].clone())
	case 4:
		n.elements = nil
	case 5:
		if r.IntN(20) == 0 { // more than a patch may have
			n.elements = slices.Repeat(n.elements[:1], 1025)
		}
	}
}
