package script

import "github.com/culvertnet/culvert/lab/packet"

// Help describes the commands of a scenario.
const Help = `The lab
  lab up [-bare] [FLEET] [mtu=N] [vmmtu=N] [unplugged=VM,...]
                        allocate ports, build the fleet's hardware, let every host converge; FLEET is fleet.yaml
                        unless given; -bare builds hardware alone
  lab down              remove it; happens at the end anyway
  fleet [-on HOST,...] FLEET
                        go on to another fleet: allocate from the lock so far, rewire, converge all hosts or those named
  release [TENANT...]   take retired blocks back in the lock; no host learns of it before apply or fleet
  apply [HOST...]       converge all hosts, or those named, once more
  cleanup HOST...       remove from the hosts all that is ours
  changes HOST OP N     a plan for the host has that many changes; prints them
  daemon start|stop HOST...
                        let the hosts' daemons run, from the fleet as it is; from then on fleet and apply go through them and
                        wait for them. A host without one converges when it is told to
  daemon idle HOST...   wait until they have nothing to look at for a second: what they notice then, they have been told
  daemon reload HOST... have them look at everything, like SIGHUP
  daemon status HOST    print how it is
  drift HOST OP N       so many changes of the daemon undid what others had done
  repaired HOST [within=D] WORDS   the last thing that the daemon did to undo what others had done has these words, and was done so soon
                        after the last damage, by its own clock, not counting up to D more while the whole machine stood still
  noticed <= D          at least half of the repairs that repaired within=D has held for, of five or more, were begun so soon after their
                        damage; D is the same on slow machines, as it is about waiting and not about work
  damage NODE rules | dormant | link DEVICE | down DEVICE | address PREFIX | neighbour ADDR | entry MAC | route PREFIX |
         rule PRIORITY | sysctl PATH VALUE | name
                        do what a careless hand does: flush all rules, switch their tables off, delete, set down or change one thing, take the
                        namespace's name away
  damage NODE services | service PROTOCOL ADDR:PORT | destination PROTOCOL ADDR:PORT ADDR | weight PROTOCOL ADDR:PORT ADDR N | sync
                        the same to IPVS: flush its services, delete one, or a destination, change its weight, stop the sync daemons
  blocks [TENANT]       print who owns which ports, a line each
  plug VM, unplug VM    give a VM its NIC, take it away
  pin EDGE TENANT PUBLIC HOST
                        make the edge send everything for a public address to one host, with an ordinary route
  unpin EDGE TENANT PUBLIC
                        put back the route that was there
  sick [TENANT/BALANCER/INTERFACE ...]
                        these backends and no others fail their checks, as the daemons say that make them; daemons hear it from each other,
                        hosts without one with the next apply

Traffic
  serve NODE tcp|udp ADDR:PORT
  serve NODE http|https ADDR:PORT [status=N]
                        answer all requests with a status, 200 by default
  unserve NODE tcp|udp|http|https ADDR:PORT
                        end a server and its flows
  open NAME NODE tcp|udp ADDR:PORT [sport=N] [src=ADDR] [ttl=N] [size=BYTES] [df] [within=D]
                        open a flow to a server; size is that of UDP datagrams, df forbids fragments
  fill NAME NODE tcp|udp ADDR:PORT N [src=ADDR] [parallel=N] [within=D]
                        try to open N flows, keep those that carry data; within is for each
  send NAME BYTES [within=D]
                        move bytes both ways over the flow, or over each of a fill, and check every one
  saw NAME ADDR FIRST[-LAST]
                        the server sees the flows come from that address and those ports; prints what it sees
  flows NAME [open|refused|reset|timeout] OP N
                        how many flows are open, or failed by an ICMP error, a reset, silence
  close NAME            end the flows
  ping NODE ADDR [count=N] [size=N] [id=N] [ttl=N] [src=ADDR] [within=D]
                        every echo request is answered; prints replies and ICMP errors
  trace NODE udp|icmp ADDR[:PORT] [size=N] [sport=N] [hops=N] [within=D]
                        find the routers of a path with probes whose hops run out, a line each, until the destination
                        answers; size is the probes' in bytes, which shrinks to the path's MTU
  inject NODE udp|tcp|sctp|icmp SRC[:PORT] DST[:PORT] [ttl=N] [df] [count=N] [size=N] [flags=syn,ack,rst,fin] [type=N] [code=A[-B]] [id=N]
                        send crafted packets, one for each code; size is the payload's in bytes. @CAPTURE for an address is
                        whoever sent the last packet of a capture. More options:
                        echo: the payload is a datagram that a server answers; its bytes follow from ID
                        about=CAPTURE [quote=BYTES] [mtu=N]: an ICMP error that quotes the last packet of a capture
                        chunk=init|init-ack|cookie-echo|cookie-ack|data|sack|abort|shutdown... [tag=N] [init=N]: of SCTP
                        cut=BYTES [pieces=3,1,2] [overlap=BYTES] [datagram=ID]: in fragments, those named, in that order;
                        overlap bytes of each but the first are in the one before too; with count each has an ID of its own
                        target=ADDR [says=MAC]: neighbour discovery about an address (type=135 or 136, ttl=255)
                        hex=BYTES: the payload. damaged=outer|quoted: ICMP's checksum, or a quoted IPv4 header's, is wrong
  frame VM MAC udp|tcp|sctp|icmp SRC[:PORT] DST[:PORT] [options of inject]
                        send crafted packets out of a VM's NIC with that MAC
  arp VM MAC ADDR TARGET [says=MAC] [reply] [count=N]
                        send ARP for an address out of a VM's NIC; says is the MAC in the ARP packet if that differs
  vxlan NODE FROM HOST VNI MAC udp|tcp|sctp|icmp SRC[:PORT] DST[:PORT] [options of inject]
                        send crafted packets to a host's underlay address in VXLAN, from any address, VNI and router MAC
  meanwhile NAME send|ping|inject|frame ...
                        repeat the command beside all that follows
  meanwhile NAME open|apply ...
                        open a flow, or converge hosts, once beside all that follows; finish waits for it
  meanwhile NAME visit NODE tcp|udp ADDR:PORT [src=ADDR] [every=D] [lives=D] [size=BYTES]
                        let flows come one after the other, exchange bytes again and again, and go when they have lived;
                        finish says how many there were and how many failed
  meanwhile NAME shuffle EDGE TENANT PUBLIC HOST,... [every=D] [seed=N]
                        pin a public address to one of the hosts at random, again and again (every second unless given);
                        prints the seed
  turns NAME OP N       how often that has been done, or how many flows have come and gone
  finish NAME... [any]  end that; a turn that failed is a failure, unless any says that some may

Evidence
  capture start NAME NODE DEVICE|any [FILTER]
  capture stop NAME     fails if a packet was missed
  captured NAME OP N [FILTER]
                        how many packets of the capture the filter holds for; prints the first ten of them
  apart CAPTURE CAPTURE... [FILTER]
                        no source has packets in two of the captures
  mark                  remember all counters
  counter NODE NAME OP N
  conntrack NODE STATISTIC OP N
                        count, or a column of /proc/net/stat/nf_conntrack such as insert_failed or drop
  snmp NODE NAME OP N   what the network stack counts, such as Ip.ReasmOKs, IpExt.ReasmOverlaps (/proc/net/snmp, netstat),
                        Udp6InDatagrams (snmp6) and Frag.inuse (sockstat)
  gained NODE counter|conntrack|snmp NAME OP N
                        what was added since mark
  counters NODE         print all counters of a node
  endpoints CAPTURE OP N [FILTER]
                        how many different sources the captured packets have: address and port, or echo id
  balanced NODE OP N    how many established connections IPVS knows there, other nodes' included if they told
  expires NODE OP SECONDS WORD...
                        how long the one conntrack entry lives that has all the words, such as udp sport=2101
  sysctl NODE NAME [= VALUE|== VALUE]
                        set a kernel parameter of a node's namespace for times that a test cannot wait for, compare or
                        print it; NAME is as in net/ipv4/ipfrag_time
  entries NODE          print the conntrack entries of a node
  eventually D [!] COMMAND ...
                        repeat a command until it succeeds, at most for the time D
  say WORDS             print a line of the story

A NODE is a host (hv1), a tenant on a host (hv1/acme), a VM (acme/vm-a), server, far, narrow, internet or underlay. OP is one of
== != < <= > >=. D is a time as in 500ms or 5s. ` + "`! COMMAND`" + ` wants the command to fail; stdout and stderr match what the last command
printed against a regular expression; cmp, grep, env, stop, skip and comments work as in testscript.

A FILTER is a list of terms that must all hold:

` + packet.FilterHelp
