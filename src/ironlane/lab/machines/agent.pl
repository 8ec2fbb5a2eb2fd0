#!/usr/bin/perl
# The agent in the lab's ramdisk: ironic-python-agent's protocol as far as inspection, cleaning and the deploy interface
# `direct` need it. Perl, because perl-base is on every Debian machine and a twentieth of what Python would be.
#
# Source: ironic-python-agent, `agent.py`, `inspector.py`, `api/app.py`, `extensions/`.
use strict;
use warnings;
use Socket;

use constant { AF_PACKET => 17, LLDP => 0x88cc, SOL_PACKET => 263, PACKET_ADD_MEMBERSHIP => 1, MULTICAST => 0 };
use constant { PORT => 9999, LLDP_PATIENCE => 30, NAME => 'ironlane-lab' };
use constant VERSION => { generic_hardware_manager => '1' };

$| = 1;
$SIG{PIPE} = 'IGNORE';
my ($disk) = map { "/dev/$_" } grep { -e "/sys/block/$_" } qw(vda sda);
my %given = map { /^([^=]+)=(.*)$/ ? ($1, $2) : () } split ' ', slurp('/proc/cmdline');
my ($node, $token, $busy, $next, @commands) = ('', '', undef, 0);

sub slurp {
    my ($path) = @_;
    open my $file, '<', $path or return '';
    local $/;
    my $text = <$file>;
    return defined $text ? $text : '';
}

sub word { my $text = slurp(@_); chomp $text; return $text }

sub say_so { print "lab: @_\n" }

# --- JSON: hashes, arrays, strings; numbers and truth values are passed as references to their text.

sub encoded {
    my ($value) = @_;
    return 'null' unless defined $value;
    return $$value if ref $value eq 'SCALAR';
    return '[' . join(',', map { encoded($_) } @$value) . ']' if ref $value eq 'ARRAY';
    return '{' . join(',', map { encoded($_) . ':' . encoded($value->{$_}) } sort keys %$value) . '}' if ref $value;
    $value =~ s/([\x00-\x1f"\\\x7f-\xff])/sprintf '\\u%04x', ord $1/ge;
    return "\"$value\"";
}

sub decoded {
    my ($text) = @_;
    pos($text) = 0;
    return parsed(\$text);
}

sub parsed {
    my ($text) = @_;
    if ($$text =~ /\G\s*\{\s*/gc) {
        my %found;
        until ($$text =~ /\G\s*\}/gc) {
            my $key = parsed($text);
            $$text =~ /\G\s*:/gc or die "no JSON\n";
            $found{$key} = parsed($text);
            $$text =~ /\G\s*,/gc;
        }
        return \%found;
    }
    if ($$text =~ /\G\s*\[/gc) {
        my @found;
        until ($$text =~ /\G\s*\]/gc) {
            push @found, parsed($text);
            $$text =~ /\G\s*,/gc;
        }
        return \@found;
    }
    if ($$text =~ /\G\s*"((?:[^"\\]|\\.)*)"/gcs) {
        my $string = $1;
        my %plain = (n => "\n", t => "\t", r => "\r", b => "\b", f => "\f");
        $string =~ s/\\(?:u([0-9a-fA-F]{4})|(.))/defined $1 ? chr hex $1 : exists $plain{$2} ? $plain{$2} : $2/ges;
        return $string;
    }
    return undef if $$text =~ /\Gnull|\G\s*null/gc;
    return \"$1" if $$text =~ /\G\s*(true|false|-?[0-9][0-9.eE+-]*)/gc;
    die "no JSON\n";
}

sub shown { my ($value) = @_; return ref $value eq 'SCALAR' ? $$value : $value }

# --- HTTP, as a client

sub request {
    my ($method, $url, $body) = @_;
    my ($host, $port, $path) = $url =~ m{^http://([0-9.]+):?(\d*)(/.*)$} or die "no URL that I know: $url\n";
    my $content = defined $body ? encoded($body) : '';
    socket(my $api, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
    connect($api, pack_sockaddr_in($port || 80, inet_aton($host))) or die "$host does not answer: $!\n";
    my $head = "$method $path HTTP/1.0\r\nHost: $host\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
        . "X-OpenStack-Ironic-API-Version: 1.84\r\nContent-Length: " . length($content) . "\r\nConnection: close\r\n\r\n";
    syswrite $api, $head . $content;
    my $answer = '';
    while (sysread $api, my $more, 65536) { $answer .= $more }
    my ($status) = $answer =~ m{^HTTP/\S+ (\d+)} or die "$host hung up\n";
    $answer =~ s/^.*?\r\n\r\n//s;
    return ($status, $answer);
}

# Until it is accepted: the API may be restarted, and the way to it may come up late.
sub insist {
    my ($method, $url, $body) = @_;
    while (1) {
        my ($status, $answer) = eval { request($method, $url, $body) };
        return $answer if defined $status and $status >= 200 and $status < 300;
        say_so("$method $url: " . (defined $status ? "$status $answer" : $@));
        sleep 1;
    }
}

# --- What is in the server, and what its NICs hear

sub nics { return map { m{([^/]+)$} } grep { -e "$_/device" } glob '/sys/class/net/*' }

sub address_of {
    my ($nic) = @_;
    return `ip -4 -o addr show dev $nic` =~ /inet ([0-9.]+)/ ? $1 : undef;
}

# Of each NIC the TLVs of the first LLDPDU that comes, as [type, hex].
sub lldp {
    my (%sockets, %heard);
    for my $nic (nics()) {
        # Without a protocol: else it would hear all NICs until it is bound to its own.
        socket(my $socket, AF_PACKET, SOCK_RAW, 0) or die "AF_PACKET: $!\n";
        my $index = word("/sys/class/net/$nic/ifindex");
        bind $socket, pack 'S n i S C C x8', AF_PACKET, LLDP, $index, 0, 0, 0 or die "bind to $nic: $!\n";
        my $group = pack 'i S S H12 x2', $index, MULTICAST, 6, '0180c200000e';
        setsockopt $socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, $group or die "multicast on $nic: $!\n";
        $sockets{$nic} = $socket;
    }
    my $until = time + LLDP_PATIENCE;
    while (%sockets and time < $until) {
        for my $nic (keys %sockets) {
            my $ready = '';
            vec($ready, fileno $sockets{$nic}, 1) = 1;
            next unless select $ready, undef, undef, 0.1;
            recv $sockets{$nic}, my $frame, 2000, 0;
            $heard{$nic} = [tlvs(substr $frame, 14)];
            say_so("LLDP on $nic: " . scalar(@{ $heard{$nic} }) . ' TLVs');
            delete $sockets{$nic};
        }
    }
    return \%heard;
}

sub tlvs {
    my ($pdu) = @_;
    my @found;
    while (length $pdu >= 2) {
        my $head = unpack 'n', $pdu;
        my ($type, $length) = ($head >> 9, $head & 511);
        last unless $type;
        push @found, [\"$type", unpack 'H*', substr $pdu, 2, $length];
        $pdu = substr $pdu, 2 + $length;
    }
    return @found;
}

sub inventory {
    my $heard = lldp();
    my @interfaces = map {
        my $carrier = word("/sys/class/net/$_/carrier") eq '1' ? 'true' : 'false';
        { name => $_, mac_address => word("/sys/class/net/$_/address"), ipv4_address => address_of($_),
          ipv6_address => undef, has_carrier => \$carrier, lldp => $heard->{$_} || [], client_id => undef,
          vendor => word("/sys/class/net/$_/device/vendor"), product => word("/sys/class/net/$_/device/device") }
    } nics();
    my ($memory) = slurp('/proc/meminfo') =~ /MemTotal:\s+(\d+)/;
    my $cpus = () = slurp('/proc/cpuinfo') =~ /^processor/mg;
    my ($name) = $disk =~ m{([^/]+)$};
    my $bytes = 512 * word("/sys/block/$name/size");
    my ($total, $mib) = ($memory * 1024, int($memory / 1024));
    my $root = { name => $disk, model => '', size => \"$bytes", rotational => \'false' };
    return {
        inventory => {
            interfaces => \@interfaces,
            cpu => { model_name => 'QEMU', count => \"$cpus", architecture => 'x86_64', flags => [] },
            disks => [$root], memory => { total => \"$total", physical_mb => \"$mib" },
            bmc_address => undef, bmc_v6address => undef, hostname => 'ramdisk',
            system_vendor => { product_name => word('/sys/class/dmi/id/product_name'), serial_number => '',
                               manufacturer => word('/sys/class/dmi/id/sys_vendor') },
            boot => { current_boot_mode => -d '/sys/firmware/efi' ? 'uefi' : 'bios', pxe_interface => $given{BOOTIF} },
        },
        root_disk => $root, boot_interface => $given{BOOTIF}, error => undef, lldp_raw => $heard,
        configuration => { collectors => ['default', 'lldp'], managers => [] },
    };
}

# --- Commands

sub fault { my ($code, $type, $details) = @_; return ($code, { type => $type, code => \"$code", message => $type, details => $details }) }

sub step { return { step => $_[0], priority => \"$_[1]", interface => 'deploy', reboot_requested => \'false', abortable => \'true' } }

sub listed {
    my ($kind, @steps) = @_;
    return { "${kind}_steps" => { GenericHardwareManager => \@steps }, hardware_manager_version => VERSION };
}

my %quick = (
    'clean.get_clean_steps' => sub { listed('clean', step('erase_devices_metadata', 99), step('erase_devices', 10)) },
    'deploy.get_deploy_steps' => sub { listed('deploy', step('erase_devices_metadata', 0)) },
    'standby.get_partition_uuids' => sub { { partitions => {} } },
    'standby.sync' => sub { system 'sync'; undef },
);

my %slow = (
    'clean.execute_clean_step' => sub { my $step = $_[0]{step}; erase($step->{step}); { clean_result => undef, clean_step => $step } },
    'deploy.execute_deploy_step' => sub { my $step = $_[0]{step}; erase($step->{step}); { deploy_result => undef, deploy_step => $step } },
    'standby.prepare_image' => \&write_image,
    'image.install_bootloader' => \&find_bootloader,
    'standby.power_off' => sub { sleep 1; exec 'poweroff', '-f' },
);

sub run { my ($command) = @_; system($command) == 0 or die "failed: $command\n" }

sub erase {
    my ($what) = @_;
    my ($name) = $disk =~ m{([^/]+)$};
    my $mib = int(word("/sys/block/$name/size") / 2048);
    if ($what eq 'erase_devices') {
        run("dd if=/dev/zero of=$disk bs=1M count=$mib conv=fsync 2>/dev/null");
    } elsif ($what eq 'erase_devices_metadata') {
        my $last = $mib - 1;
        run("dd if=/dev/zero of=$disk bs=1M count=1 seek=$_ conv=fsync 2>/dev/null") for 0, $last;
    } else {
        die "there is no step $what\n";
    }
    say_so("$what done");
}

sub write_image {
    my $info = $_[0]{image_info};
    my ($url, $algorithm) = ($info->{urls}[0], $info->{os_hash_algo});
    $url =~ m{^http://[\w.:/-]+$} or die "no URL that I know: $url\n";
    $algorithm =~ /^sha(256|512)$/ or die "no checksum that I know: $algorithm\n";
    run("wget -q -O /tmp/image $url");
    my ($found) = split ' ', `${algorithm}sum /tmp/image`;
    $found eq $info->{os_hash_value} or die "Image failed to verify against checksum: it is $found\n";
    run("dd if=/tmp/image of=$disk bs=1M conv=fsync 2>/dev/null");
    unlink '/tmp/image';
    say_so("image written to $disk");
    return { result => "prepare_image: image ($info->{id}) written to device $disk" };
}

# The firmware keeps no boot entries (see `qemu.py`), so the loader has to be where it looks by itself.
sub find_bootloader {
    my $mode = $_[0]{target_boot_mode};
    $mode eq 'uefi' or die "there is nothing to install for boot mode $mode\n";
    run("mount -t vfat -o ro $disk /tmp");
    my $found = -s '/tmp/EFI/BOOT/BOOTX64.EFI';
    run('umount /tmp');
    $found or die "the image has no EFI/BOOT/BOOTX64.EFI\n";
    say_so('boot loader found');
    return undef;
}

sub begin {
    my ($name, $params) = @_;
    return fault(409, 'AgentIsBusy', 'one command at a time') if $busy;
    my ($short) = $name =~ /\.(.*)$/;
    my $work = $quick{$name} || $slow{$name}
        or return fault(404, 'RequestedObjectNotFoundError', "there is no command $name");
    my $id = sprintf '%08x-0000-4000-8000-%012x', $$, ++$next;
    my $command = { id => $id, command_name => $short, command_params => $params, command_status => 'RUNNING',
                    command_error => undef, command_result => undef };
    push @commands, $command;
    say_so("command $name");
    if ($quick{$name}) {
        @$command{qw(command_result command_status)} = ($work->($params), 'SUCCEEDED');
    } else {
        pipe my $read, my $write or die "pipe: $!\n";
        if (!fork) {
            my $result = eval { $work->($params) };
            my $error = $@;
            chomp $error;
            syswrite $write, encoded($error ? { error => $error } : { result => $result });
            exec '/bin/true';    # nothing of the parent's is to be closed or flushed twice
        }
        $busy = { command => $command, pipe => $read };
    }
    return (200, $command);
}

sub finish {
    my $text = '';
    while (sysread $busy->{pipe}, my $more, 65536) { $text .= $more }
    wait;
    my ($command, $told) = ($busy->{command}, eval { decoded($text) } || { error => 'it ended without a word' });
    $busy = undef;
    if (defined $told->{error}) {
        say_so("$command->{command_name} failed: $told->{error}");
        my (undef, $error) = fault(500, 'CommandExecutionError', $told->{error});
        @$command{qw(command_error command_status)} = ($error, 'FAILED');
    } else {
        @$command{qw(command_result command_status)} = ($told->{result}, 'SUCCEEDED');
    }
}

# --- HTTP, as a server

sub serve {
    my ($client) = @_;
    my $text = '';
    until ($text =~ /\r\n\r\n/) { sysread $client, $text, 65536, length $text or return }
    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    my $length = $head =~ /^content-length:\s*(\d+)/im ? $1 : 0;
    while (length $body < $length) { sysread $client, $body, 65536, length $body or return }
    my ($method, $query) = $head =~ m{^(GET|POST) /v1/commands/\?(\S*)};
    my ($code, $answer) = fault(404, 'NotFound', 'there is only /v1/commands/');
    if (defined $method) {
        my ($told) = $query =~ /(?:^|&)agent_token=([^&]*)/;
        if (!defined $told or $told ne $token) {
            ($code, $answer) = (401, { faultcode => 'Client', faultstring => 'Token invalid.' });
        } elsif ($method eq 'GET') {
            ($code, $answer) = (200, { commands => \@commands });
        } else {
            my $order = eval { decoded($body) };
            ($code, $answer) = ref $order eq 'HASH' ? begin($order->{name}, $order->{params}) : fault(400, 'Invalid', 'no JSON');
        }
    }
    my $content = encoded($answer);
    my $length_of = length $content;
    syswrite $client, "HTTP/1.1 $code .\r\nContent-Type: application/json\r\nContent-Length: $length_of\r\nConnection: close\r\n\r\n$content";
}

sub ready {
    my ($patience, @handles) = @_;
    my $ready = '';
    vec($ready, fileno $_, 1) = 1 for @handles;
    select $ready, undef, undef, $patience;
    return grep { vec $ready, fileno $_, 1 } @handles;
}

my $api = $given{'ipa-api-url'} or die "the kernel's command line has no ipa-api-url\n";
$api =~ s{/$}{};
if (my $url = $given{'ipa-inspection-callback-url'}) {
    my $inventory = inventory();
    say_so('inventory goes out');    # before it does: the conductor may switch the power off as soon as it has it
    insist('POST', $url, $inventory);
}
my @addresses = map { word("/sys/class/net/$_/address") } nics();
my $found = decoded(insist('GET', "$api/v1/lookup?addresses=" . join(',', @addresses)));
($node, $token) = ($found->{node}{uuid}, $found->{config}{agent_token});
my $silence = shown($found->{config}{heartbeat_timeout} || \'60') / 4;
my ($address) = grep { defined } map { address_of($_) } nics();
socket(my $listener, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
setsockopt $listener, SOL_SOCKET, SO_REUSEADDR, 1;
bind $listener, pack_sockaddr_in(PORT, INADDR_ANY) or die "bind: $!\n";
listen $listener, 8;
my $due = 0;
while (1) {
    if (time >= $due) {
        my $body = { callback_url => "http://$address:" . PORT, agent_token => $token, agent_version => NAME };
        insist('POST', "$api/v1/heartbeat/$node", $body);
        say_so('heartbeat');
        $due = time + $silence;
    }
    for my $handle (ready(1, $listener, $busy ? $busy->{pipe} : ())) {
        if ($handle == $listener) {
            accept my $client, $listener or next;
            serve($client);
            close $client;
        } elsif ($busy and $handle == $busy->{pipe}) {
            finish();
            $due = 0;    # the conductor is to know at once
        }
    }
}
