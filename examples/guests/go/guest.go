package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"example.com/guest/mqtt"
)

const topic = "mqtt-wasi/guest/go"

func measure(client *mqtt.Client) error {
	reading := mqtt.Text(topic+"/kitchen", "21.5").With(mqtt.UserProperty{"unit", "C"})
	reading.ContentType = "text/plain"
	if err := client.Publish(reading); err != nil {
		return err
	}
	message, err := client.Receive(5 * time.Second)
	if message != nil {
		fmt.Printf("%s: %s %s\n", message.Topic, message, message.UserProperty("unit"))
	}
	return err
}

// Asks for a conversion, and answers, which another client would do otherwise.
func convert(client *mqtt.Client) error {
	question, err := client.StartRequest(mqtt.Text(topic+"/to-fahrenheit", "21.5"), 5*time.Second)
	if err != nil {
		return err
	}
	if request, err := client.NextRequest(5 * time.Second); err != nil || request == nil {
		return err
	} else if celsius, err := strconv.ParseFloat(request.Message.String(), 64); err != nil {
		return client.FailRequest(request, err.Error())
	} else if err := client.Reply(request, fmt.Sprint(celsius*9/5+32)); err != nil {
		return err
	}
	reply, err := client.WaitForReply(question, 5*time.Second)
	fmt.Println("21.5 C are", reply, "F")
	return err
}

func program(args []string) error {
	client, err := mqtt.Connect(args[0], func(options *mqtt.Options) { options.SetKeepAliveSeconds(30) })
	if err != nil {
		return err
	}
	// Only the broker itself may publish there.
	if refused := new(mqtt.Error); errors.As(client.Publish(mqtt.Text("$SYS/broker/uptime", "0")), &refused) {
		fmt.Printf("%s %s %d: %s\n", refused.Kind, refused.Name, refused.ReasonCode, refused)
	}
	return errors.Join(client.Subscribe(topic+"/#", 1), measure(client), convert(client), client.Disconnect())
}

//go:wasmexport wasi:cli/run@0.2.0#run
func run() int32 { return mqtt.Command(program) }

func main() {}
