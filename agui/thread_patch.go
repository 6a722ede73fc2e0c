package agui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

// What copying within a document may come to, in bytes: by one patch, and the document that it
// makes. A copy of a few bytes can double a document.
const (
	maxCopied   = 4 << 20
	maxDocument = 16 << 20
)

// maxPatchWork bounds what one patch reads of its document, in bytes: operations that look at the
// document read it whole. The first passes over a large document are free of it.
const (
	maxPatchWork  = 64 << 20
	minPatchReads = 8
)

// applyPatch returns doc, a JSON value, changed by ops: all of them or none. It agrees with
// fast-json-patch 3.1.1, the library of the official client. The operations are applied by package
// jsonpatch, except where that disagrees, which is decided here: operations on the whole document,
// every test, and names that are numbers in one of the two only.
//
// What remains different is in docs/adr/0019-thread.md.
func applyPatch(doc json.RawMessage, ops []PatchOp) (_ json.RawMessage, err error) {
	defer func() {
		// The library panics on some documents instead of failing.
		if r := recover(); r != nil {
			err = fmt.Errorf("the patch fails: %v", r)
		}
	}()
	p := patch{doc: bytes.TrimSpace(doc)}
	if len(p.doc) == 0 {
		p.doc = json.RawMessage("{}")
	}
	for i := range ops {
		if err := p.apply(&ops[i]); err != nil {
			return nil, err
		}
	}
	if err := p.flush(); err != nil {
		return nil, err
	}
	return p.doc, nil
}

// errPatch says why a patch does not apply, and to which path.
func errPatch(reason, path string) error {
	if len(path) > 128 {
		path = path[:128]
	}
	return fmt.Errorf("%s: %q", reason, path)
}

const (
	patchNoPath  = "the path does not exist"
	patchName    = "the path has a name that is not allowed"
	patchNoValue = "the value is missing or no JSON"
	patchDiffers = "the test fails"
	patchUnknown = "the operation is unknown"
)

var errPatchWork = errors.New("the patch reads the document too often")

// patch is a patch while it is applied.
type patch struct {
	doc     json.RawMessage
	waiting jsonpatch.Patch // operations that doc does not have yet

	tree   any // doc, while parsed
	parsed bool
	work   int // bytes of documents read
	reads  int
}

func (p *patch) apply(op *PatchOp) error {
	var from *string
	if op.Op.uses("from") {
		if from = op.From; from == nil {
			return errPatch(patchNoPath, "")
		}
	}
	switch {
	case !allowedPath(op.Path):
		return errPatch(patchName, op.Path)
	case from != nil && !allowedPath(*from):
		return errPatch(patchName, *from)
	case op.Op.uses("value") && !json.Valid(op.Value):
		return errPatch(patchNoValue, op.Path)
	case op.Op == PatchTest:
		return p.test(op)
	case op.Path == "":
		return p.applyToRoot(op)
	}
	return p.enqueue(op, from)
}

func (p *patch) test(op *PatchOp) error {
	value, err := p.find(op.Path)
	if err != nil {
		return err
	}
	want, err := parseJSON(op.Value)
	if err != nil {
		return err
	}
	if !equalJSON(value, want) {
		return errPatch(patchDiffers, op.Path)
	}
	return nil
}

// applyToRoot changes the whole document, which need not be an object afterwards.
func (p *patch) applyToRoot(op *PatchOp) error {
	if err := p.flush(); err != nil {
		return err
	}
	switch op.Op {
	case PatchAdd, PatchReplace:
		p.set(bytes.Clone(bytes.TrimSpace(op.Value)))
	case PatchRemove:
		p.set(json.RawMessage("null"))
	case PatchMove, PatchCopy:
		value, err := p.find(*op.From)
		if err != nil {
			return err
		}
		doc, err := encodeJSON(nil, value)
		if err != nil {
			return err
		}
		p.set(doc)
	default:
		return errPatch(patchUnknown, op.Path)
	}
	return nil
}

// set makes doc the document; nothing waits any more.
func (p *patch) set(doc json.RawMessage) {
	p.doc, p.waiting, p.tree, p.parsed = doc, nil, nil, false
}

// enqueue leaves an operation to the library.
func (p *patch) enqueue(op *PatchOp, from *string) error {
	path, err := p.destination(op)
	if err != nil {
		return err
	}
	own := jsonpatch.Operation{"op": rawString(string(op.Op)), "path": rawString(path)}
	if from != nil {
		if err := p.checkNames(*from); err != nil {
			return err
		}
		if *from == "" {
			// The library would copy the document as it was before the patch.
			if err := p.flush(); err != nil {
				return err
			}
		}
		own["from"] = rawString(*from)
	}
	if op.Op.uses("value") {
		own["value"] = new(json.RawMessage(bytes.TrimSpace(op.Value)))
	}
	p.waiting = append(p.waiting, own)
	p.tree, p.parsed = nil, false
	return nil
}

// destination returns the path of op as the library needs it. What is inserted into a list may have
// an index with zeros before it, and a move or copy beyond the end appends.
func (p *patch) destination(op *PatchOp) (string, error) {
	end := strings.LastIndexByte(op.Path, '/')
	n, err := strconv.ParseUint(op.Path[end+1:], 10, 31)
	index := strconv.FormatUint(n, 10)
	if err != nil || op.Op == PatchReplace || op.Op == PatchRemove || op.Op == PatchAdd && index == op.Path[end+1:] {
		return op.Path, p.checkNames(op.Path)
	}
	if err := p.checkNames(op.Path[:end]); err != nil {
		return "", err
	}
	parent, err := p.find(op.Path[:end])
	if err != nil {
		return "", err
	}
	list, ok := parent.([]any)
	switch {
	case !ok:
		return op.Path, nil
	case op.Op != PatchAdd && n >= uint64(len(list)):
		index = "-"
	}
	return op.Path[:end+1] + index, nil
}

// checkNames refuses names such as 01 and -1 where they stand for an index: the library would read
// them as one. It looks at the document only when there is such a name.
func (p *patch) checkNames(path string) error {
	for end, token := range pathTokens(path) {
		if n, err := strconv.Atoi(token); err != nil || n >= 0 && strconv.Itoa(n) == token {
			continue
		}
		parent, err := p.find(path[:end])
		if err != nil {
			return err
		}
		if _, array := parent.([]any); array {
			return errPatch(patchNoPath, path)
		}
	}
	return nil
}

func rawString(s string) *json.RawMessage {
	raw, _ := encodeJSON(nil, s) // a string always encodes
	return (*json.RawMessage)(&raw)
}

// flush applies what waits.
func (p *patch) flush() error {
	if len(p.waiting) == 0 {
		return nil
	}
	if p.doc[0] != '{' && p.doc[0] != '[' {
		return errPatch(patchNoPath, "") // a scalar has no members
	}
	if err := p.read(); err != nil {
		return err
	}
	doc, err := p.waiting.ApplyWithOptions(p.doc, &jsonpatch.ApplyOptions{
		AccumulatedCopySizeLimit: int64(max(1, min(maxCopied, maxDocument-len(p.doc)))),
	})
	if err != nil {
		return err
	}
	p.set(doc)
	return nil
}

// read counts a pass over the document.
func (p *patch) read() error {
	p.reads++
	p.work += len(p.doc)
	if p.work > maxPatchWork && p.reads > minPatchReads {
		return errPatchWork
	}
	return nil
}

// find returns the value that path names now.
func (p *patch) find(path string) (any, error) {
	if err := p.flush(); err != nil {
		return nil, err
	}
	if !p.parsed {
		if err := p.read(); err != nil {
			return nil, err
		}
		tree, err := parseJSON(p.doc)
		if err != nil {
			return nil, err
		}
		p.tree, p.parsed = tree, true
	}
	value := p.tree
	for _, token := range pathTokens(path) {
		switch parent := value.(type) {
		case map[string]any:
			member, ok := parent[token]
			if !ok {
				return nil, errPatch(patchNoPath, path)
			}
			value = member
		case []any:
			n, err := strconv.ParseUint(token, 10, 31)
			if err != nil || n >= uint64(len(parent)) {
				return nil, errPatch(patchNoPath, path)
			}
			value = parent[n]
		default:
			return nil, errPatch(patchNoPath, path)
		}
	}
	return value, nil
}

// allowedPath reports whether path is a pointer without a name that reaches the prototype of
// JavaScript's objects, which the other library refuses, and without an empty name.
func allowedPath(path string) bool {
	if path != "" && path[0] != '/' {
		return false
	}
	before := ""
	for _, token := range pathTokens(path) {
		if token == "" || token == "__proto__" || token == "prototype" && before == "constructor" {
			return false
		}
		before = token
	}
	return true
}

// pathTokens yields the names of a JSON Pointer, with the length of the pointer before each.
func pathTokens(path string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		for end := 0; end < len(path); {
			token, _, _ := strings.Cut(path[end+1:], "/")
			next := end + 1 + len(token)
			if strings.Contains(token, "~") {
				token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
			}
			if !yield(end, token) {
				return
			}
			end = next
		}
	}
}

// parseJSON parses a value whose numbers stay as they are written.
func parseJSON(raw json.RawMessage) (value any, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	err = d.Decode(&value)
	return value, err
}

// equalJSON compares two values of parseJSON. Numbers are equal when they are the same float64.
func equalJSON(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && (a == b || float(a) == float(b))
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equalJSON(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key, value := range a {
			if other, ok := b[key]; !ok || !equalJSON(value, other) {
				return false
			}
		}
		return true
	}
	return a == b
}

func float(n json.Number) float64 {
	f, _ := n.Float64() // out of range is an infinity, as in JavaScript
	return f
}
