// Package mqtt is the interface mqtt-wasi:client/mqtt, as Go has things: errors, defaults, durations, iteration. Copy
// this folder into your program.
//
//	client, err := mqtt.Connect("mqtt://localhost", func(o *mqtt.Options) { o.SetClientId("thermometer-7") })
//	err = client.Subscribe("sensors/#", 1)
//	err = client.Publish(mqtt.Text("sensors/kitchen", "21.5").With(mqtt.UserProperty{"unit", "C"}))
//	for message, err := range client.Messages(5 * time.Second) { ... }
//
// What has no method here is in Client.Raw, which is the client of the interface: see wit/mqtt.wit. Give what it returns
// to Try.
package mqtt

import (
	"fmt"
	"iter"
	"os"
	"time"

	bindings "example.com/bindings/imports/mqtt_wasi_client_mqtt"
	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Forever is a timeout that does not end.
const Forever time.Duration = 1<<63 - 1

// Options has a setter for each option of a connection: those of connect-options in wit/mqtt.wit.
type Options = bindings.ConnectOptions

// Error is why a call failed. Its words are for people: where the broker gave reasons, they are among them.
type Error struct {
	Kind       string // What it means for the program: wrong-call, try-later, timed-out, refused, ...
	Name       string // What it is, exactly, for example publish-refused.
	ReasonCode uint8  // That the broker gave, or that it was sent with the DISCONNECT. 0: none.
	message    string
}

func (e *Error) Error() string { return e.message }

var kinds = [...]string{
	"wrong-call", "try-later", "timed-out", "refused", "connection-over", "not-trusted", "protocol-broken",
}

// Try turns what a call of the interface returned into a value and an error.
func Try[T any](result wit.Result[T, bindings.Failure]) (T, error) {
	collect()
	if result.IsOk() {
		return result.Ok(), nil
	}
	var none T
	f := result.Err()
	return none, &Error{Kind: kinds[f.Kind], Name: f.Name, ReasonCode: f.Code.SomeOr(0), message: f.Message}
}

// Command runs a program, prints its error, and returns what `wasi:cli/run` does. Export a function that calls it:
//
//	//go:wasmexport wasi:cli/run@0.2.0#run
//	func run() int32 { return mqtt.Command(program) }
func Command(program func(args []string) error) int32 {
	if err := program(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return 0
}

// UserProperty has a name and a value. Names may repeat.
type UserProperty [2]string

// Message is to be published, or was received.
type Message struct {
	Topic           string
	Payload         []byte
	IsText          bool // The Payload Format Indicator: the payload is UTF-8.
	QoS             uint8
	Retain          bool
	Expiry          uint32 // The Message Expiry Interval in seconds. 0: none.
	ContentType     string
	ResponseTopic   string
	CorrelationData []byte
	UserProperties  []UserProperty

	// Of received messages only.
	Duplicate               bool
	SubscriptionIdentifiers []uint32
	Delivery                *uint64 // For Client.Acknowledge, with SetAcknowledgeByHand.
}

// Text is a message of text with QoS 1.
func Text(topic, text string) Message {
	return Message{Topic: topic, Payload: []byte(text), IsText: true, QoS: 1}
}

// With adds User Properties.
func (m Message) With(properties ...UserProperty) Message {
	m.UserProperties = append(m.UserProperties[:len(m.UserProperties):len(m.UserProperties)], properties...)
	return m
}

func (m *Message) String() string { return string(m.Payload) }

// UserProperty returns the value of the first User Property with this name, or an empty string.
func (m *Message) UserProperty(name string) string {
	for _, property := range m.UserProperties {
		if property[0] == name {
			return property[1]
		}
	}
	return ""
}

// Request is to be answered. It should end with one of Reply, FailRequest and ReleaseRequest.
type Request struct {
	Message    *Message
	WantsReply bool
	id         uint64
}

// Client has one session, and at most one connection at a time. All calls block, for a bounded time.
type Client struct {
	Raw *bindings.Client
}

// Connect connects to a broker. Each of the functions sets options.
func Connect(url string, options ...func(*Options)) (*Client, error) {
	all := bindings.MakeConnectOptions()
	defer all.Drop()
	for _, set := range options {
		set(all)
	}
	client, err := Try(bindings.Connect(url, wit.Some(all)))
	if err != nil {
		return nil, err
	}
	return &Client{client}, nil
}

// Publish publishes a message. Where the broker refuses it, that is an error.
func (c *Client) Publish(message Message) error {
	publication := toPublication(message)
	if len(publication.Properties) > 0 {
		_, err := Try(c.Raw.PublishMessage(publication))
		return err
	}
	_, err := Try(c.Raw.Publish(publication.Topic, publication.Payload, publication.Qos, publication.Retain))
	return err
}

// PublishBatch publishes many messages, much faster than one by one. It returns why each failed, or nil.
func (c *Client) PublishBatch(messages []Message) []error {
	publications := make([]bindings.Publication, len(messages))
	for i, message := range messages {
		publications[i] = toPublication(message)
	}
	errs := make([]error, len(messages))
	for i, result := range c.Raw.PublishBatch(publications) {
		_, errs[i] = Try(result)
	}
	return errs
}

// Subscribe subscribes to a Topic Filter, with the highest QoS that messages are delivered with.
func (c *Client) Subscribe(filter string, maximumQoS uint8) error {
	_, err := Try(c.Raw.Subscribe(filter, maximumQoS))
	return err
}

// Unsubscribe ends a subscription. That there was none is no error.
func (c *Client) Unsubscribe(filter string) error {
	_, err := Try(c.Raw.Unsubscribe(filter))
	return err
}

// Receive waits for the next message. Nil: none came.
func (c *Client) Receive(timeout time.Duration) (*Message, error) {
	return received(c.Raw.Receive(toMs(timeout)))
}

// Messages returns the messages as they come, until none comes for so long. It ends after an error.
func (c *Client) Messages(timeout time.Duration) iter.Seq2[*Message, error] {
	return each(func() (*Message, error) { return c.Receive(timeout) }, timeout)
}

// Acknowledge acknowledges a message. False: it was done before, or its connection is over.
func (c *Client) Acknowledge(message *Message) bool {
	return message.Delivery != nil && c.Raw.Acknowledge(*message.Delivery)
}

// Ask sends a request, and waits for the reply.
func (c *Client) Ask(message Message, timeout time.Duration) (*Message, error) {
	request, err := c.StartRequest(message, timeout)
	for err == nil {
		var reply *Message
		if reply, err = c.WaitForReply(request, timeout); reply != nil {
			return reply, nil
		}
	}
	return nil, err
}

// StartRequest sends a request that ends after the timeout. It returns its number for WaitForReply.
func (c *Client) StartRequest(message Message, timeout time.Duration) (uint64, error) {
	return Try(c.Raw.StartRequest(toPublication(message), toMs(timeout)))
}

// WaitForReply waits for the reply to a request. Nil: it has not come yet.
func (c *Client) WaitForReply(request uint64, timeout time.Duration) (*Message, error) {
	return received(c.Raw.WaitForReply(request, toMs(timeout)))
}

// NextRequest waits for the next request to answer. Nil: none came. Subscribe to its topic first.
func (c *Client) NextRequest(timeout time.Duration) (*Request, error) {
	request, err := Try(c.Raw.NextRequest(toMs(timeout)))
	if err != nil || request.IsNone() {
		return nil, err
	}
	r := request.Some()
	return &Request{Message: toMessage(r.Message), WantsReply: r.WantsReply, id: r.Id}, nil
}

// Requests returns the requests to answer as they come, until none comes for so long. It ends after an error.
func (c *Client) Requests(timeout time.Duration) iter.Seq2[*Request, error] {
	return each(func() (*Request, error) { return c.NextRequest(timeout) }, timeout)
}

// Reply sends the reply to a request, as text.
func (c *Client) Reply(request *Request, text string) error {
	_, err := Try(c.Raw.Reply(request.id, bindings.MakePayloadText(text)))
	return err
}

// FailRequest tells the requester that its request failed, and why.
func (c *Client) FailRequest(request *Request, why string) error {
	_, err := Try(c.Raw.FailRequest(request.id, why))
	return err
}

// ReleaseRequest lets a request go without a reply.
func (c *Client) ReleaseRequest(request *Request) { c.Raw.ReleaseRequest(request.id) }

// Disconnect disconnects. The broker deletes the Will Message.
func (c *Client) Disconnect() error {
	_, err := Try(c.Raw.Disconnect(wit.None[bindings.Disconnection]()))
	c.Raw.Drop()
	return err
}

func each[T any](next func() (*T, error), timeout time.Duration) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for {
			item, err := next()
			isOver := item == nil && err == nil && timeout < Forever
			if isOver || ((item != nil || err != nil) && !yield(item, err)) || err != nil {
				return
			}
		}
	}
}

func received(result wit.Result[wit.Option[bindings.Message], bindings.Failure]) (*Message, error) {
	message, err := Try(result)
	if err != nil || message.IsNone() {
		return nil, err
	}
	return toMessage(message.Some()), nil
}

func toMs(timeout time.Duration) uint32 {
	return uint32(min(max(timeout.Milliseconds(), 0), 1<<32-1))
}

func toPublication(m Message) bindings.Publication {
	payload := bindings.MakePayloadBytes(m.Payload)
	if m.IsText {
		payload = bindings.MakePayloadText(string(m.Payload))
	}
	var properties []bindings.Property
	if m.Expiry > 0 {
		properties = append(properties, bindings.MakePropertyMessageExpiryIntervalSeconds(m.Expiry))
	}
	if m.ContentType != "" {
		properties = append(properties, bindings.MakePropertyContentType(m.ContentType))
	}
	if m.ResponseTopic != "" {
		properties = append(properties, bindings.MakePropertyResponseTopic(m.ResponseTopic))
	}
	if m.CorrelationData != nil {
		properties = append(properties, bindings.MakePropertyCorrelationData(m.CorrelationData))
	}
	for _, p := range m.UserProperties {
		properties = append(properties, bindings.MakePropertyUserProperty(bindings.UserProperty{F0: p[0], F1: p[1]}))
	}
	return bindings.Publication{Topic: m.Topic, Payload: payload, Qos: m.QoS, Retain: m.Retain, Properties: properties}
}

func toMessage(from bindings.Message) *Message {
	m := &Message{Topic: from.Topic, QoS: from.Qos, Retain: from.Retain, Duplicate: from.Duplicate}
	if from.Payload.Tag() == bindings.Payload_Text {
		m.Payload, m.IsText = []byte(from.Payload.Text()), true
	} else {
		m.Payload = from.Payload.Bytes()
	}
	if from.Delivery.IsSome() {
		delivery := from.Delivery.Some()
		m.Delivery = &delivery
	}
	m.SubscriptionIdentifiers = from.SubscriptionIdentifiers.SomeOr(nil)
	for _, p := range from.Properties.SomeOr(nil) {
		switch p.Tag() {
		case bindings.Property_MessageExpiryIntervalSeconds:
			m.Expiry = p.MessageExpiryIntervalSeconds()
		case bindings.Property_ContentType:
			m.ContentType = p.ContentType()
		case bindings.Property_ResponseTopic:
			m.ResponseTopic = p.ResponseTopic()
		case bindings.Property_CorrelationData:
			m.CorrelationData = p.CorrelationData()
		case bindings.Property_UserProperty:
			m.UserProperties = append(m.UserProperties, UserProperty{p.UserProperty().F0, p.UserProperty().F1})
		}
	}
	return m
}
