// Package aguitest tests agents, and clients of agents, without a socket. Hosts may rely on its API.
//
//	func TestGreeter(t *testing.T) {
//		got := aguitest.Run(t, greeter, aguitest.Input("hello"))
//		got.WantSuccess()
//		got.WantText("Hello yourself.")
//	}
//
// [Run] calls the agent as a server does, with a sink in memory, and returns a [Result]: the events
// as they were encoded and decoded again, and the conversation they come to. Its Want methods fail
// the test and say what was wanted, what came, and all events of the run. [Config] has what a run
// may need besides an input: a principal, values, a reader that is slow.
//
// [Start] is Run for tests that do something in the middle: read event by event, cancel, leave.
//
//	s := aguitest.Start(t, agent, aguitest.Input("tell me a story"))
//	aguitest.Await[*agui.TextMessageContent](s)
//	s.Cancel(nil)
//	s.Wait().WantCancelled()
//
// A run here has no log, as one on a bare wire: nobody can follow or steer it, and Run.Steering is nil.
// Package aguitest/serve has runs with logs.
//
// # Time
//
// The package starts no goroutine but the agent's, which has ended when the test ends, and knows no
// clock but package time. So in a bubble of testing/synctest an agent that waits an hour takes no
// time, a test may assert when events came, and synctest.Wait returns once the agent waits for the
// reader. A wait that nobody can end fails the test at once there, and after [Config.Patience]
// elsewhere.
//
// # Clients
//
// [Script] is an agent that plays what it is told to, for tests of what reads it. [Collect] makes a
// Result of what a client receives, so that the same methods judge it. Package aguitest/serve starts
// a server with a client that is ready; it is a package of its own because the server does not
// exist on every system, Windows among them, and because sockets do not work in a bubble.
//
// # Golden files
//
// [Result.WantGolden] compares a run with a file of one event a line, whose ids and timestamps are
// replaced by names that do not change from run to run. With AGUITEST_UPDATE=1 in the environment it
// writes the file instead.
package aguitest
