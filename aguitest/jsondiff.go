package aguitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
)

// jsonDiff says where two documents differ first, "" where they are equal.
func jsonDiff(got, want string) string {
	a, err := jsonValue(got)
	if err != nil {
		return "what came is no JSON: " + err.Error()
	}
	b, err := jsonValue(want)
	if err != nil {
		return "what was wanted is no JSON: " + err.Error()
	}
	return diffValues("", a, b)
}

func jsonValue(text string) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	if err = d.Decode(&v); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, fmt.Errorf("more than one value")
	}
	return v, nil
}

func diffValues(path string, got, want any) string {
	switch b := want.(type) {
	case map[string]any:
		if a, ok := got.(map[string]any); ok {
			return diffObjects(path, a, b)
		}
	case []any:
		if a, ok := got.([]any); ok {
			return diffArrays(path, a, b)
		}
	case json.Number:
		if a, ok := got.(json.Number); ok && sameNumber(a, b) {
			return ""
		}
	default: // comparable
		if got == want {
			return ""
		}
	}
	return differ(path, got, want)
}

func diffObjects(path string, got, want map[string]any) string {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		a, ok := got[key]
		if !ok {
			return fmt.Sprintf("%q has no %q", path, key)
		}
		if diff := diffValues(path+"/"+key, a, want[key]); diff != "" {
			return diff
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok {
			return fmt.Sprintf("%q has %q, which was not wanted", path, key)
		}
	}
	return ""
}

func diffArrays(path string, got, want []any) string {
	for i := range min(len(got), len(want)) {
		if diff := diffValues(fmt.Sprintf("%s/%d", path, i), got[i], want[i]); diff != "" {
			return diff
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%q has %d elements, not %d", path, len(got), len(want))
	}
	return ""
}

func differ(path string, got, want any) string {
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	return fmt.Sprintf("%q is %s, not %s", path, a, b)
}

// maxExponent is up to which number of digits numbers are compared by value.
const maxExponent = 400

// sameNumber reports whether two numbers have one value, also beyond 2^53.
func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	if len(a) > maxExponent || len(b) > maxExponent {
		return false
	}
	x, okX := parseNumber(a)
	y, okY := parseNumber(b)
	return okX && okY && x.Cmp(y) == 0
}

func parseNumber(n json.Number) (*big.Rat, bool) {
	if f, err := n.Float64(); err != nil || f > 1e300 || f < -1e300 {
		return nil, false // big.Rat would write out the exponent
	}
	return new(big.Rat).SetString(string(n))
}
