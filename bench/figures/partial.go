package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/agloop/agloop/bench/result"
)

// partial is a run that has not ended. The key identifies its programs and settings.
type partial struct {
	Key string      `json:"key"`
	Run *result.Run `json:"run"`
}

func readPartial(file, key string) (*result.Run, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var p partial
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if p.Key != key || p.Run == nil {
		return nil, errors.New(file + " is of other programs or settings")
	}
	// Cases that were refused for noise are measured again.
	p.Run.Cases = slices.DeleteFunc(p.Run.Cases, spoilt)
	return p.Run, nil
}

func spoilt(c result.Case) bool {
	for _, s := range c.Servers {
		for _, r := range s.Rounds {
			if strings.HasPrefix(r.Refused, tooNoisy) {
				return true
			}
		}
	}
	return false
}

func writePartial(file, key string, run *result.Run) error {
	return writeJSON(file, partial{key, run})
}

// writeJSON replaces a file atomically.
func writeJSON(file string, v any) error {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	return replace(file, append(b, '\n'))
}

func replace(file string, b []byte) error {
	if err := os.WriteFile(file+".new", b, 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
