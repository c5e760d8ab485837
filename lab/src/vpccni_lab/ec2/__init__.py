"""EC2 as the lab knows it: a state model with EC2's rules, and the HTTP query endpoint that serves it.

Names for the rest of the lab (fabric, nodes, CLI)::

    from vpccni_lab.ec2.model import Ec2
    ec2 = Ec2(clock=time.time, seed=0)                       # one thread (or event loop) only; no asyncio inside
    vpc = ec2.create_vpc(cidrs=["10.0.0.0/16"], ipv6_cidrs=["2001:db8:0:100::/56"])
    subnet = ec2.create_subnet(vpc.id, "10.0.1.0/24", "us-west-2a", ipv6_cidr=None, tags={})
    group = ec2.create_security_group(vpc.id, "nodes")       # groups=() elsewhere means the VPC's default group
    node = ec2.run_instance("m5.large", subnet.id, private_ip=None, public_ip="auto", tags={"Name": "node-a"}, name="node-a")
    eni = ec2.primary_eni(node.id); ec2.enis_of(node.id); ec2.eni(eni_id); ec2.instance(id); ec2.subnet(id); ec2.vpc(id)
    ec2.terminate_instance(node.id)
    ec2.subscribe(callback)      # callback(event); events are the dataclasses of vpccni_lab.ec2.events
    ec2.advance()                # process what is due by the clock, emitting events; call it at ec2.next_due()
    ec2.next_due()               # float (clock time) or None
    ec2.timings = Timings(attach=1.0, detach=2.0, ...)       # vpccni_lab.ec2.timing, seconds
    ec2.faults, ec2.calls        # vpccni_lab.ec2.faults.FaultTable, vpccni_lab.ec2.calls.CallLog
    ec2.call("node-a", "DescribeSubnets", {...})             # an API call without HTTP: same rules, faults and log

    from vpccni_lab.ec2.server import Ec2Server
    handle = await Ec2Server(ec2).serve(listening_socket, caller="node-a"); await handle.close()
    from vpccni_lab.imds.server import ImdsServer
    handle = await ImdsServer(ec2).serve(listening_socket, instance_id=node.id); await handle.close()

``caller`` is what faults and the call log know a client by: the listener's name, or (``caller=None``) the instance whose
IMDS credentials signed the request, or the access key id. ``Instance.name`` is the ``name`` given, the Name tag, or the id.

Events (emitted when the change takes effect on the wire, after the delays): InstanceLaunched, InstanceTerminated,
EniAttached (also for the primary ENI of a new instance), EniDetached, AddressesChanged, PublicIpChanged, EniChanged
(source/destination check, security groups), VpcChanged, SubnetCreated, SecurityGroupChanged. Records are frozen
dataclasses (vpccni_lab.ec2.records); an event carries the record as it was when the event was emitted.
"""
