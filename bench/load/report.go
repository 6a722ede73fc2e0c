package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
)

// report is a list of named figures, printed in the order they were added.
type report struct {
	keys   []string
	values []any
}

func (r *report) add(key string, value any) {
	r.keys, r.values = append(r.keys, key), append(r.values, value)
}

// text is one line of key=value.
func (r *report) text() []byte {
	var b bytes.Buffer
	for i, k := range r.keys {
		if i > 0 {
			b.WriteByte(' ')
		}
		if f, ok := r.values[i].(float64); ok {
			fmt.Fprintf(&b, "%s=%s", k, strconv.FormatFloat(f, 'f', -1, 64))
			continue
		}
		fmt.Fprintf(&b, "%s=%v", k, r.values[i])
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// json is one object on one line, its members in order.
func (r *report) json() ([]byte, error) {
	b := []byte{'{'}
	for i, k := range r.keys {
		v, err := json.Marshal(r.values[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%q:%s", k, v)
	}
	return append(b, '}', '\n'), nil
}

func (r *report) print(asJSON bool) error {
	if !asJSON {
		_, err := os.Stdout.Write(r.text())
		return err
	}
	os.Stderr.Write(r.text())
	b, err := r.json()
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(b)
	return err
}

func round(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}

// ratio is a/b, and 0 where there is nothing to divide by: JSON knows no infinity.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
