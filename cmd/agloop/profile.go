package main

import (
	"fmt"
	"slices"

	"github.com/agloop/agloop"
)

// profiles are all profiles, in the order in which they are listed.
var profiles = []agloop.Profile{
	agloop.ProfileBalanced, agloop.ProfileLatency, agloop.ProfileThroughput, agloop.ProfileMemory,
}

// parseProfile accepts the names of profiles and nothing else.
func parseProfile(name string) (agloop.Profile, error) {
	p := agloop.Profile(name)
	if !slices.Contains(profiles, p) {
		return "", fmt.Errorf("%q is no profile: there are %v", name, profiles)
	}
	return p, nil
}
