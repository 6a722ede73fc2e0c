package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// node is a JSON value that keeps what a map does not: the order of members, members that stand
// twice, and how a number, a string or a name is spelled.
type node struct {
	members  []member // of an object
	elements []*node  // of an array
	kind     byte     // '{', '[', or 0 for anything else
	raw      string   // of anything else
}

type member struct {
	name  string // as it is spelled, with its quotes
	value *node
}

func parse(text string) *node {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	return parseNext(dec)
}

// object is an object, nil when text is none.
func object(text string) *node {
	if !json.Valid([]byte(text)) {
		return nil
	}
	if n := parse(text); n.kind == '{' {
		return n
	}
	return nil
}

func parseNext(dec *json.Decoder) *node {
	token, err := dec.Token()
	if err != nil {
		panic(fmt.Sprintf("the sample data is not JSON: %v", err))
	}
	switch t := token.(type) {
	case json.Delim:
		n := &node{kind: byte(t)}
		for dec.More() {
			if n.kind == '[' {
				n.elements = append(n.elements, parseNext(dec))
				continue
			}
			name, _ := dec.Token()
			n.members = append(n.members, member{quote(name.(string)), parseNext(dec)})
		}
		_, _ = dec.Token()
		return n
	case string:
		return &node{raw: quote(t)}
	case json.Number:
		return &node{raw: t.String()}
	default:
		raw, _ := json.Marshal(t)
		return &node{raw: string(raw)}
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func (n *node) String() string {
	var b strings.Builder
	n.write(&b)
	return b.String()
}

func (n *node) write(b *strings.Builder) {
	switch n.kind {
	case '{':
		b.WriteByte('{')
		for i, m := range n.members {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(m.name)
			b.WriteByte(':')
			m.value.write(b)
		}
		b.WriteByte('}')
	case '[':
		b.WriteByte('[')
		for i, e := range n.elements {
			if i > 0 {
				b.WriteByte(',')
			}
			e.write(b)
		}
		b.WriteByte(']')
	default:
		b.WriteString(n.raw)
	}
}

func (n *node) clone() *node {
	c := &node{kind: n.kind, raw: n.raw}
	for _, m := range n.members {
		c.members = append(c.members, member{m.name, m.value.clone()})
	}
	for _, e := range n.elements {
		c.elements = append(c.elements, e.clone())
	}
	return c
}

// all is n and everything in it.
func (n *node) all(list []*node) []*node {
	list = append(list, n)
	for _, m := range n.members {
		list = m.value.all(list)
	}
	for _, e := range n.elements {
		list = e.all(list)
	}
	return list
}

// get is the value of a member, nil where there is none.
func (n *node) get(name string) *node {
	for _, m := range n.members {
		if m.name == quote(name) {
			return m.value
		}
	}
	return nil
}

// set sets a member; nil removes it.
func (n *node) set(name string, value *node) {
	for i, m := range n.members {
		if m.name != quote(name) {
			continue
		}
		if value == nil {
			n.members = append(n.members[:i:i], n.members[i+1:]...)
		} else {
			n.members[i].value = value
		}
		return
	}
	if value != nil {
		n.members = append(n.members, member{quote(name), value})
	}
}

// pick is one of a list.
func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }
