package result

import (
	"slices"
	"testing"
)

func rounds(key string, values ...float64) []Round {
	var out []Round
	for _, v := range values {
		if v < 0 {
			out = append(out, Round{Refused: "load saturated"})
		} else {
			out = append(out, Round{Values: map[string]float64{key: v}})
		}
	}
	return out
}

func TestSpreadOf(t *testing.T) {
	for _, c := range []struct {
		name string
		v    []float64
		want Spread
	}{
		{"nothing", nil, Spread{}},
		{"one", []float64{3}, Spread{1, 3, 3, 3}},
		{"odd", []float64{9, 1, 4}, Spread{3, 4, 1, 9}},
		{"even", []float64{9, 1, 4, 2}, Spread{4, 3, 1, 9}},
	} {
		before := slices.Clone(c.v)
		if got := SpreadOf(c.v); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if !slices.Equal(c.v, before) {
			t.Errorf("%s: SpreadOf sorted its argument", c.name)
		}
	}
}

func TestSpreadLeavesRefusedRoundsOut(t *testing.T) {
	s := Server{Rounds: rounds("us", 2, -1, 4)}
	if got, want := s.Spread("us"), (Spread{2, 3, 2, 4}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := s.Spread("bytes"); got.N != 0 {
		t.Errorf("%+v of a figure that no round has", got)
	}
}

// The ratio of the medians would be 2/10; that of each round is 1/5, 1/2, 1/10.
func TestRatioIsByRound(t *testing.T) {
	a, b := Server{Rounds: rounds("us", 2, 1, 3)}, Server{Rounds: rounds("us", 10, 2, 30)}
	if got, want := a.Ratio(&b, "us"), (Spread{3, 0.2, 0.1, 0.5}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestRatioNeedsBothSides(t *testing.T) {
	a := Server{Rounds: rounds("us", 2, -1, 6, 8)}
	for name, c := range map[string]struct {
		other Server
		want  Spread
	}{
		"a round is refused on either side": {Server{Rounds: rounds("us", 4, 4, -1, 4)}, Spread{2, 1.25, 0.5, 2}},
		"the other has fewer rounds":        {Server{Rounds: rounds("us", 4)}, Spread{1, 0.5, 0.5, 0.5}},
		"nothing is divided by nothing":     {Server{Rounds: rounds("us", 0, 0, 0, 0)}, Spread{}},
	} {
		if got := a.Ratio(&c.other, "us"); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestServerByName(t *testing.T) {
	c := Case{Servers: []Server{{Name: "agloop"}, {Name: "gws"}}}
	if got := c.Server("gws"); got != &c.Servers[1] {
		t.Errorf("%p is not the case's own", got)
	}
	if got := c.Server("gnet"); got != nil {
		t.Errorf("%+v", got)
	}
}
