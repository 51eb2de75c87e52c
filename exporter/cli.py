"""The command line (CONTRACT.md section 1): flags, commands, exit codes. The only place that prints."""

from __future__ import annotations

import argparse
import asyncio
import logging
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from exporter import __version__, dashboards
from exporter.app import App, Options
from exporter.clock import SystemClock
from exporter.config.load import load
from exporter.config.schema import Config
from exporter.config.shard import WHOLE, Shard
from exporter.errors import ConfigError, Problem, StartError, TokencostError
from exporter.logs import start_logging
from exporter.loop import Upkeep, run
from exporter.publish.gate import Gate
from exporter.sources.registry import ENGINES, GATEWAYS

_DEMO_ADDRESS = "127.0.0.1:9742"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 1 with one line (one per config error) on standard error."""
    words = sys.argv[1:] if argv is None else list(argv)
    own = _PARSERS.get(words[0]) if words else None
    args = own().parse_args(words[1:]) if own else _parser().parse_args(words)
    start_logging(args.log_level, args.log_format)
    try:
        _COMMANDS[args.command](args)
    except KeyboardInterrupt:
        return 0
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 1
    except TokencostError as error:
        print(f"tokencost-exporter: {error}", file=sys.stderr)
        return 1
    except BaseExceptionGroup:
        logging.getLogger(__name__).exception("stopped by an error of its own; please report it")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tokencost-exporter",
        description="What a token costs right now, and who is spending it.",
        epilog="More commands, see their --help: probe, what would be read from a metrics page; generate, files for "
        "other programs.",
        allow_abbrev=False,
    )
    flag = parser.add_argument
    flag(
        "command", nargs="?", choices=("serve", "demo"), default="serve", help="serve (default), or a simulated fleet",
    )  # fmt: skip
    flag("--config.file", dest="config_file", type=Path, default=Path("tokencost.yml"), metavar="FILE")
    flag("--config.check", dest="config_check", action="store_true", help="print every error of the config and exit")
    flag(
        "--config.enable-auto-reload", dest="auto_reload", action="store_true", help="reload when the file has changed"
    )
    flag("--web.listen-address", dest="listen_address", metavar="HOST:PORT", help="default :9742; port 0: a free one")
    flag(
        "--web.config.file",
        dest="web_config_file",
        type=Path,
        metavar="FILE",
        help="TLS and passwords, see docs/web.md",
    )
    flag("--web.telemetry-path", dest="telemetry_path", default="/metrics", metavar="PATH")
    flag("--web.enable-lifecycle", dest="lifecycle", action="store_true", help="allow POST /-/reload")
    flag("--storage.path", dest="storage_path", default="data/ledger.db", metavar="FILE", help=":memory: keeps nothing")
    flag(
        "--shard", type=_shard, default=WHOLE, metavar="I/N", help="one of N that divide the config, from 0/N",
    )  # fmt: skip
    flag("--log.level", dest="log_level", choices=("debug", "info", "warning", "error"), default="info")
    flag("--log.format", dest="log_format", choices=("logfmt", "json"), default="logfmt")
    version = f"tokencost-exporter {__version__} (python {platform.python_version()})"
    flag("--version", action="version", version=version)
    return parser


def _probe_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tokencost-exporter probe",
        description="Fetch one metrics page, once, and say what would be read from it: which engine or gateway it is, "
        "its models and tokens, which label may name the tenant, what is missing and what that costs.",
        epilog="Exit code 0: the page was read. 1: it could not be had, or is of nothing known; one line says why. "
        "2: a wrong flag.",
        allow_abbrev=False,
    )
    flag = parser.add_argument
    flag("url", metavar="URL", help="the whole address, such as http://127.0.0.1:8000/metrics")
    names = ("auto", *ENGINES, *GATEWAYS)
    flag("--engine", choices=names, default="auto", metavar="NAME", help=f"one of: {', '.join(names)}")
    flag("--bearer-token-file", type=Path, metavar="FILE", help="a file that holds the token to send")
    flag("--as-config", action="store_true", help="print a config for it; fill in the lines that say CHANGE-ME")
    parser.set_defaults(command="probe", log_level="warning", log_format="logfmt")
    return parser


def _generate_parser() -> argparse.ArgumentParser:
    from exporter.rules import command  # noqa: PLC0415 - loaded only where it is used

    parser = argparse.ArgumentParser(
        prog="tokencost-exporter generate", description="Write files for other programs.", allow_abbrev=False
    )
    kinds = parser.add_subparsers(dest="what", required=True, metavar="rules|dashboards")
    rules = kinds.add_parser("rules", help="for Prometheus and its relatives", allow_abbrev=False)
    command.flags(rules)
    rules.set_defaults(run=command.run)
    boards = kinds.add_parser("dashboards", help="for Grafana; they are the same for every config", allow_abbrev=False)
    flag = boards.add_argument
    flag("--out", type=Path, required=True, metavar="DIR")
    flag("--config.file", dest="config_file", type=Path, metavar="FILE", help="not needed: taken for symmetry")
    boards.set_defaults(run=lambda args: dashboards.write(args.out))
    parser.set_defaults(command="generate", log_level="warning", log_format="logfmt")
    return parser


def _options(args: argparse.Namespace) -> Options:
    return Options(
        config_file=args.config_file,
        listen_address=args.listen_address or ":9742",
        telemetry_path=args.telemetry_path,
        storage_path=args.storage_path,
        web_config_file=args.web_config_file,
        enable_lifecycle=args.lifecycle,
        auto_reload=args.auto_reload,
        shard=args.shard,
    )


def _shard(text: str) -> Shard:
    try:
        return Shard.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _load(path: Path) -> Config:
    return load(path, today=datetime.now(UTC).date())


def _check(files: Mapping[Path, Callable[[Path], str]]) -> None:
    said: list[str] = []
    problems: list[Problem] = []
    for file, summary in files.items():
        try:
            said.append(f"{file} is valid: {summary(file)}")
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(tuple(problems))
    print("\n".join(said))


def _summary(shard: Shard, file: Path) -> str:
    config = shard.part(_load(file))
    endpoints = sum(len(pool.endpoints) for pool in config.pools)
    sources = sum(len(pool.discover) for pool in config.pools) + sum(len(edge.discover) for edge in config.gateways)
    return f"pools {len(config.pools)}, endpoints {endpoints}" + (f", sources of more {sources}" if sources else "")


def _web_summary(file: Path) -> str:
    gate = Gate(file)
    return f"{gate.scheme}, users {len(gate.latest.users)}"


async def _serve(args: argparse.Namespace, upkeep: Upkeep) -> None:
    await App(_options(args), _load(args.config_file), SystemClock(), upkeep).run()


async def _demo(args: argparse.Namespace, upkeep: Upkeep) -> None:
    from exporter.demo.serve import demo  # noqa: PLC0415 - loaded only where it is used

    with tempfile.TemporaryDirectory(prefix="tokencost-demo-") as folder:
        async with demo(SystemClock()) as text:
            config = Path(folder, "tokencost.yml")
            config.write_text(text)  # noqa: ASYNC240 - before anything runs
            options = replace(_options(args), config_file=config, storage_path=str(Path(folder, "ledger.db")))
            for address in [args.listen_address] if args.listen_address else [_DEMO_ADDRESS, "127.0.0.1:0"]:
                try:
                    app = App(replace(options, listen_address=address), _load(config), SystemClock(), upkeep)
                    await app.run(on_listening=partial(_announce, app.gate.scheme))
                except StartError:
                    if address == _DEMO_ADDRESS and not args.listen_address:
                        continue  # somebody has that port: take a free one
                    raise
                break


async def _probe(args: argparse.Namespace) -> None:
    from exporter.probe import example, fetch, report  # noqa: PLC0415 - loaded only where it is used

    page = await fetch.probe(args.url, args.engine, args.bearer_token_file, SystemClock())
    text = example.example(page, args.bearer_token_file) if args.as_config else report.report(page)
    encoding = sys.stdout.encoding or "utf-8"  # a terminal may not know every letter of a tenant's name
    print(text.encode(encoding, "replace").decode(encoding), end="")


def _announce(scheme: str, address: str) -> None:
    url = f"{scheme}://{address}"
    print(f"The page: {url}/   the metrics: {url}/metrics   (Ctrl-C ends the demo)", flush=True)


def _generate(args: argparse.Namespace) -> None:
    for path in args.run(args):
        print(path)


def _check_or_serve(args: argparse.Namespace) -> None:
    if args.config_check:
        files: dict[Path, Callable[[Path], str]] = {args.config_file: partial(_summary, args.shard)}
        _check(files | ({args.web_config_file: _web_summary} if args.web_config_file else {}))
    else:
        run(partial(_serve, args))


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "serve": _check_or_serve,
    "demo": lambda args: run(partial(_demo, args)),
    "probe": lambda args: asyncio.run(_probe(args)),
    "generate": _generate,
}
# Those with flags of their own; the others share the flags of `serve`.
_PARSERS = {"probe": _probe_parser, "generate": _generate_parser}
