//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/agloop/agloop/bench/result"
)

// guarded is a case with the most that agloop's CPU per message may be of bare gnet's. The bounds
// are generous: a shared machine must not fail them, and a copy or a system call more for each
// message must.
type guarded struct {
	inflight int
	most     float64
}

var guards = []guarded{{32, 1.6}, {1, 1.4}}

// runGuard measures agloop and bare gnet in turn for half a minute. It fails when the ratio has
// exceeded its bound twice.
func runGuard(ctx context.Context, s settings) (int, error) {
	root, err := sourceRoot(ctx)
	if err != nil {
		return failed, err
	}
	dir, err := os.MkdirTemp("", "figures-")
	if err != nil {
		return failed, err
	}
	defer os.RemoveAll(dir)
	pair := []server{agloopEcho, gnet}
	g, err := newRig(ctx, root, dir, s, pair)
	if err != nil {
		return failed, err
	}
	began, outside := time.Now(), 0
	for _, c := range guards {
		ratio, err := g.against(ctx, c, pair, 3)
		if err == nil && ratio.Median > c.most {
			fmt.Printf("%d in flight: once more\n", c.inflight)
			ratio, err = g.against(ctx, c, pair, 5)
		}
		if err != nil {
			return failed, err
		}
		if ratio.Median > c.most {
			outside++
		}
	}
	fmt.Printf("took %s\n", time.Since(began).Round(time.Second))
	if outside > 0 {
		return failed, fmt.Errorf("agloop's CPU per message has grown out of bounds in %d of %d cases", outside, len(guards))
	}
	return 0, nil
}

// against is the ratio of the CPU per message of the first server to that of the second. Noise and
// a load at its limit affect both, so no round is refused.
func (g *tools) against(ctx context.Context, c guarded, pair []server, rounds int) (result.Spread, error) {
	sides := make([]result.Server, len(pair))
	for range rounds {
		for i, srv := range pair {
			values, err := g.round(ctx, srv, "/", echoLoad(64, c.inflight, 128, 1.5), 1)
			if err != nil {
				return result.Spread{}, fmt.Errorf("%s, %d in flight: %w", srv.name, c.inflight, err)
			}
			sides[i].Rounds = append(sides[i].Rounds, result.Round{Values: values})
		}
	}
	ratio := sides[0].Ratio(&sides[1], perMsg.Key)
	if ratio.N == 0 {
		return ratio, fmt.Errorf("the load reports no %s", perMsg.Key)
	}
	fmt.Printf("%d in flight: agloop %.3f µs, gnet %.3f µs; agloop ÷ gnet %.2f (%s), at most %.1f\n", c.inflight,
		sides[0].Spread(perMsg.Key).Median, sides[1].Spread(perMsg.Key).Median, ratio.Median, between(ratio), c.most)
	return ratio, nil
}
