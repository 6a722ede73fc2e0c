package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/server"
)

// scriptedAgent stands in for a model: it reads the last message of the user and follows one of
// four scripts. It keeps nothing between runs, because in AG-UI the input has all that a resumed
// run needs.
func scriptedAgent(ctx context.Context, run *server.Run) error {
	s := &stage{ctx: ctx, run: run}
	run.Steering() // from now on it listens
	return s.perform(lastWords(run.Input.Messages))
}

// perform follows the script that words ask for.
func (s *stage) perform(words string) error {
	run := s.run
	switch {
	case len(run.Input.Resume) > 0 && !changedSubject(run.Input):
		return s.resume(parseBooking(lastWish(run.Input.Messages)), approved(run.Input.Resume))
	case mentions(words, bookingWords...):
		return s.askFirst(parseBooking(words))
	case mentions(words, "burst"):
		return s.burst()
	case strings.TrimSpace(words) == "":
		return s.say("You said nothing yet. Write anything at all, and watch the answer arrive word by word.")
	}
	return s.answer(words)
}

// lastWords is the text of the last message of the user.
func lastWords(messages []agui.Message) string {
	return lastOf(messages, func(string) bool { return true })
}

// lastWish is what the user has last asked to book: what was said while the agent spoke may stand
// behind it.
func lastWish(messages []agui.Message) string {
	return lastOf(messages, func(words string) bool { return mentions(words, bookingWords...) })
}

// bookingWords ask for a table.
var bookingWords = []string{"book", "reserve", "ask me first"}

// lastOf is the last message of the user that is wanted, "" when there is none.
func lastOf(messages []agui.Message, wanted func(words string) bool) string {
	for i := len(messages) - 1; i >= 0; i-- {
		if m := messages[i]; m.Role == agui.RoleUser && m.Content != nil {
			if words := contentText(m.Content); wanted(words) {
				return words
			}
		}
	}
	return ""
}

func contentText(c *agui.Content) string {
	if c.Parts == nil {
		return c.Text
	}
	var texts []string
	for _, part := range c.Parts {
		if part.Text != nil {
			texts = append(texts, *part.Text)
		}
	}
	return strings.Join(texts, " ")
}

func mentions(words string, wanted ...string) bool {
	words = strings.ToLower(words)
	for _, w := range wanted {
		if strings.Contains(words, w) {
			return true
		}
	}
	return false
}

// changedSubject reports whether the user cancelled the question and wrote something else.
func changedSubject(in *agui.RunAgentInput) bool {
	for _, r := range in.Resume {
		if r.Status != agui.ResumeCancelled {
			return false
		}
	}
	return len(in.Messages) > 0 && in.Messages[len(in.Messages)-1].Role == agui.RoleUser
}

// approved reports whether every interrupt was resolved with {"approved": true}.
func approved(resume []agui.ResumeEntry) bool {
	for _, r := range resume {
		var answer struct {
			Approved bool `json:"approved"`
		}
		if r.Status != agui.ResumeResolved || json.Unmarshal(r.Payload, &answer) != nil || !answer.Approved {
			return false
		}
	}
	return true
}

// answer measures the user's words with a tool and answers with the result.
func (s *stage) answer(words string) error {
	m := measure(words)
	return s.play(
		s.plan("Answer you", "Read your message", "Measure it with a tool", "Write the answer"),
		s.wait(5),
		s.next(),
		func() error { return s.tool("measure_text", map[string]any{"text": words}, m) },
		s.next(),
		func() error { return s.say(reply(words, m)) },
		s.next(),
	)
}

// askFirst finds a table and ends the run with a question to the user.
func (s *stage) askFirst(b booking) error {
	return s.play(
		s.plan("Book a table", "Understand the wish", "Find a free table", "Ask you first", "Book it"),
		s.wait(5),
		s.next(),
		func() error { return s.tool("find_table", b.wish(), b.offer()) },
		s.note(b.String()),
		s.next(),
		func() error {
			return s.say("There is a " + b.String() + ". Booking is not something an agent should do " +
				"unasked, so this run ends here with a question. Your answer starts the next one.")
		},
		func() error { return s.interrupt(b) },
	)
}

// resume is the run after the user's answer.
func (s *stage) resume(b booking, yes bool) error {
	acts := []act{
		s.plan("Book a table", "Understand the wish", "Find a free table", "Ask you first", "Book it"),
		s.note(b.String()), s.next(), s.next(), s.next(),
	}
	if !yes {
		return s.play(append(acts, s.skip(), func() error {
			return s.say("Understood: nothing is booked, and the " + b.String() + " stays free for somebody else.")
		})...)
	}
	return s.play(append(acts,
		s.wait(5),
		func() error { return s.tool("book_table", b.order(), b.receipt(s.run.Input.RunID)) },
		s.next(),
		func() error {
			return s.say("Done: a " + b.String() + ". The reference is " + reference(s.run.Input.RunID) +
				", though it is good for nothing, since this agent is a script and no restaurant has heard of you.")
		},
	)...)
}

// burst sends many words at a time, so that several events share a write.
func (s *stage) burst() error {
	const ticks = 60
	m, err := s.run.TextMessage()
	if err != nil {
		return err
	}
	if err := m.Write("Sixty bursts of twelve words each, and the figures of the server show how many frames share one write: "); err != nil {
		return err
	}
	for range ticks {
		for _, word := range strings.SplitAfter(burstWords, " ") {
			if err := m.Write(word); err != nil {
				return err
			}
		}
		if err := s.pause(1); err != nil {
			return err
		}
		var enough bool
		if m, enough, err = s.heed(m); err != nil || enough {
			return err
		}
	}
	return m.Close()
}

// burstWords has twelve words.
const burstWords = "one run, one socket, many words, each word in its own frame; "

// interrupt ends the run and asks whether b should be booked.
func (s *stage) interrupt(b booking) error {
	question := "Book the " + b.String() + "?"
	return s.run.Emit(&agui.RunFinished{Outcome: &agui.Outcome{
		Type: agui.OutcomeInterrupt,
		Interrupts: []agui.Interrupt{{
			ID:      "approve-" + s.run.Input.RunID,
			Reason:  "approval_required",
			Message: &question,
			ResponseSchema: json.RawMessage(`{"type":"object","properties":{"approved":{"type":"boolean"}},` +
				`"required":["approved"]}`),
		}},
	}})
}
