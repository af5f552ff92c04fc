"""The graphs and their loops against plain PyTorch without any cache, on tiny random models."""

from dataclasses import dataclass, field, replace
from itertools import zip_longest
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from valle.errors import UsageError
from valle.runtime.ar import ARDecoder
from valle.runtime.nar import NAR as RunningNAR
from valle.runtime.nar import first_block_frames
from valle.runtime.pointer import Pointer, measure_durations, count_frames_on_symbol
from valle.runtime.sampling import TransitionSampler, DurationController, Sampling, sample
from valle.runtime.speaker_encoder import EMBEDDING_DIM

torch = pytest.importorskip("torch")

from valle.training.export import graphs  # noqa: E402
from valle.training.models import ar as ar_module  # noqa: E402
from valle.training.models import nar as nar_module  # noqa: E402
from valle.training.models import quantizer  # noqa: E402
from valle.training.models.sizes import SIZES  # noqa: E402

TABLE = 60  # symbols
NO_CODE = 1024
GREEDY = Sampling(temperature=0.0)
CLOSE = {"atol": 1e-3, "rtol": 1e-3}


@dataclass
class Models:
    """Random models, and the bundle that they were exported to."""

    ar: ar_module.AR
    nar: nar_module.NAR
    config: SimpleNamespace
    sessions: dict[str, onnxruntime.InferenceSession] = field(default_factory=dict)
    threads: int = 1

    def session(self, name):
        return self.sessions[name]


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    size = SIZES["debug"]
    ar = ar_module.AR(replace(size.ar, max_positions=256), TABLE).eval()
    nar = nar_module.NAR(replace(size.nar, block=7, past=5, ahead=3), TABLE).eval()
    with torch.no_grad():
        for voice in (ar.phonemes.voice, nar.voice):
            # It begins at zero, where every voice is the same.
            torch.nn.init.normal_(voice.linear.weight, std=0.005)
        for module in (ar, nar):
            # As large as trained weights are: at 0.02 every logit is near 0, and hides mistakes.
            for weight in module.parameters():
                if weight.ndim > 1:
                    weight.mul_(5.0)
        ar.move_head.bias.copy_(torch.tensor([1.0, 0.0, -0.5]))
    a, n = ar.size, nar.size
    config = SimpleNamespace(
        codebooks=8,
        codebook_size=NO_CODE,
        style=None,
        ar=SimpleNamespace(
            layers=a.layers,
            heads=a.heads,
            width=a.width,
            max_positions=a.max_positions,
            max_stay_phoneme=50,
            max_stay_border=75,
        ),
        nar=SimpleNamespace(
            layers=n.layers,
            heads=n.heads,
            width=n.width,
            block=n.block,
            past=n.past,
            ahead=n.ahead,
            latent=n.latent,
        ),
        graphs={"ar": SimpleNamespace(precision="fp32")},
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {
        name: onnxruntime.InferenceSession(graph.SerializeToString(), options)
        for name, graph in (
            ("phonemes", graphs.phonemes_graph(ar.phonemes, styled=False)),
            ("ar", graphs.ar_graph(ar)),
            ("nar", graphs.nar_graph(nar, styled=False)),
        )
    }
    return Models(ar, nar, config, sessions)


@dataclass
class Said:
    """Random symbols, and random codes of frames that walk through them."""

    symbols: np.ndarray
    stress: np.ndarray
    borders: np.ndarray
    path: np.ndarray
    codes: np.ndarray
    voice: np.ndarray


def said(seed, symbols=9, frames=24):
    rng = np.random.default_rng(seed)
    borders = np.arange(symbols) % 4 == 0
    path = np.sort(rng.integers(0, symbols, frames))
    return Said(
        rng.integers(0, TABLE, symbols),
        rng.integers(0, 3, symbols),
        borders,
        path,
        rng.integers(0, NO_CODE, (frames, 8)),
        random_voice(rng),
    )


def random_voice(rng):
    voice = rng.standard_normal(EMBEDDING_DIM).astype(np.float32)
    return voice / np.linalg.norm(voice)


def tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array))[None]


def plain(models, prompt, sentence, sampling, rng, pace=None):
    """The AR without cache or graph: every step runs every row anew, in PyTorch."""

    def encode(one):
        return models.ar.phonemes(*map(tensor, (one.symbols, one.stress, one.voice)))[0]

    with torch.no_grad():
        before = encode(prompt)[prompt.path]
        own = encode(sentence)
    pointer = Pointer(sentence.borders, limit=pace.wanted if pace else None)
    mover = TransitionSampler(pointer, sampling, rng, pace)
    known = list(prompt.codes)
    stay = list(count_frames_on_symbol(prompt.path))
    rows = list(before)
    made = []
    while not pointer.done:
        rows.append(own[pointer.index])
        stay.append(pointer.stay)
        inputs = np.stack([np.full(8, NO_CODE), *known])
        with torch.no_grad():
            logits, moves = models.ar.forward_rows(
                tensor(inputs), torch.stack(rows)[None], tensor(np.array(stay))
            )
        code = sample(logits[0, -1].numpy(), sampling, rng, [c for c, _ in made])
        made.append((code, pointer.index))
        mover.next(moves[0, -1].numpy())
        known.append(np.array([code] + [NO_CODE] * 7))
    return made


def read(models, decoder, prompt):
    encoded = decoder.encode(prompt.symbols, prompt.stress, prompt.voice)
    return decoder.prompt(prompt.codes, encoded[prompt.path], count_frames_on_symbol(prompt.path))


def speak(decoder, kept, sentence, sampling, seed=0, pace=None):
    encoded = decoder.encode(sentence.symbols, sentence.stress, sentence.voice)
    rng = np.random.default_rng(seed)
    return decoder.generate(kept, encoded, sentence.borders, sampling, rng, pace)


def test_the_phoneme_encoder_is_the_module_padding_or_not(models):
    short, long = said(1, symbols=5), said(2, symbols=11)
    padding = np.full(6, -1)
    symbols = np.stack([np.concatenate((short.symbols, padding)), long.symbols])
    stress = np.stack([np.concatenate((short.stress, padding * 0)), long.stress])
    voice = np.stack([short.voice, long.voice])
    feeds = {"symbols": symbols, "stress": stress, "voice": voice}
    found = models.session("phonemes").run(None, feeds)[0]
    with torch.no_grad():
        module = models.ar.phonemes(*map(torch.from_numpy, feeds.values())).numpy()
    np.testing.assert_allclose(found, module, **CLOSE)
    decoder = ARDecoder(models)
    alone = decoder.encode(short.symbols, short.stress, short.voice)
    np.testing.assert_allclose(found[0, :5], alone, **CLOSE)
    # Six symbols of right context and no more.
    changed = long.symbols.copy()
    changed[7] = (changed[7] + 1) % TABLE
    before, after = (decoder.encode(s, long.stress, long.voice) for s in (long.symbols, changed))
    moved = np.abs(after - before).max(axis=1)
    assert moved[0] == 0.0 < moved[1]


def test_the_voice_changes_every_encoded_row(models):
    one, decoder = said(1), ARDecoder(models)
    voices = [one.voice, said(2).voice, np.zeros(EMBEDDING_DIM, np.float32)]
    rows = [decoder.encode(one.symbols, one.stress, voice) for voice in voices]
    for other in rows[1:]:
        moved = other - rows[0]
        assert (np.abs(moved).max(axis=1) > 0.1).all()
        # Every row by as much: the voice says nothing of where in the text it is.
        np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-4)


def test_the_voice_changes_what_the_nar_says(models):
    prompt, target, nar = said(19), said(20, frames=30), RunningNAR(models)
    voices = [prompt.voice, target.voice, np.zeros(EMBEDDING_DIM, np.float32)]
    graph, size = models.session("nar"), models.nar.size
    past = np.zeros((size.layers, 1, size.heads, 0, size.width // size.heads), np.float32)
    feeds = {
        "codes": target.codes[None],
        "symbols": target.symbols[target.path][None],
        "stress": target.stress[target.path][None],
        "positions": np.arange(30)[None],
        "kind": np.array(1),
        "past_key": past,
        "past_value": past,
        "known": np.zeros((1, 0), np.int64),
        "left": np.zeros((1, 0, size.latent), np.float32),
        "plain": np.zeros((1, 30, size.latent), np.float32),
        "strength": np.array(0, np.float32),
    }
    vectors = [graph.run(["vector"], {**feeds, "voice": v[None]})[0][0] for v in voices]
    for other in vectors[1:]:
        assert (np.abs(other - vectors[0]).max(axis=1) > 0.1).all()
    # And what is spoken: the prompt hands its voice on to every block.
    heard = (prompt.codes, prompt.symbols[prompt.path], prompt.stress[prompt.path])
    spoken = [
        np.concatenate(list(nar.predict_residuals(nar.prompt(*heard, voice), frames_of(target))))
        for voice in voices
    ]
    for other in spoken[1:]:
        assert (other != spoken[0]).any(axis=1).mean() > 0.5


def test_a_batch_of_unequal_lengths_is_what_separate_runs_give(models):
    graph, size = models.session("ar"), models.ar.size
    first, second = said(3, frames=20), said(4, frames=20)
    encoded = np.random.default_rng(0).normal(size=(2, 20, size.width)).astype(np.float32)
    codes, stay = (
        np.stack([first.codes, second.codes]),
        np.stack([count_frames_on_symbol(s.path) for s in (first, second)]),
    )

    def empty(batch):
        shape = (batch, size.heads, size.max_positions, size.width // size.heads)
        names = [f"past_{kind}_{i}" for kind in ("key", "value") for i in range(size.layers)]
        return {name: np.zeros(shape, np.float32) for name in names}

    def run(items, rows, past):
        def pick(array):
            return np.stack([array[item, own] for item, own in zip(items, rows, strict=True)])

        totals = [own.stop for own in rows]
        feeds = {
            "codes": pick(codes),
            "encoded": pick(encoded),
            "stay": pick(stay),
            "seqlens_k": np.array(totals, np.int32) - 1,
            "total_sequence_length": np.array(max(totals), np.int32),
        }
        names = [output.name for output in graph.get_outputs()]
        found = dict(zip(names, graph.run(None, {**feeds, **past}), strict=True))
        kept = {f"past{k[7:]}": v for k, v in found.items() if k.startswith("present")}
        return found["logits"], kept

    # Prompts of 12 and 5 rows, then one step of both together.
    _, one = run([0], [slice(0, 12)], empty(1))
    _, two = run([1], [slice(0, 5)], empty(1))
    alone_one, _ = run([0], [slice(12, 13)], one)
    alone_two, _ = run([1], [slice(5, 6)], two)
    both = {name: np.concatenate((one[name], two[name])) for name in one}
    together, _ = run([0, 1], [slice(12, 13), slice(5, 6)], both)
    np.testing.assert_allclose(together, np.concatenate((alone_one, alone_two)), **CLOSE)
    with torch.no_grad():
        logits, _ = models.ar.forward_rows(
            tensor(codes[0, :13]), tensor(encoded[0, :13]), tensor(stay[0, :13])
        )
    np.testing.assert_allclose(alone_one[0, 0], logits[0, 12], **CLOSE)


@pytest.mark.parametrize("sampling", [GREEDY, Sampling()], ids=["greedy", "drawn"])
@pytest.mark.parametrize("paced", [False, True], ids=["free", "paced"])
def test_decoding_is_plain_pytorch_without_a_cache(models, sampling, paced):
    # Few symbols: stays beyond the 31 that the model tells apart.
    prompt, sentence = said(5, symbols=2, frames=90), said(6, symbols=13)
    pace = DurationController(31, np.ones(13)) if paced else None
    decoder = ARDecoder(models)
    kept = read(models, decoder, prompt)
    made = list(speak(decoder, kept, sentence, sampling, 7, pace))
    assert made == plain(models, prompt, sentence, sampling, np.random.default_rng(7), pace)
    spent = measure_durations(np.array([symbol for _, symbol in made]), 13)
    assert (spent[~sentence.borders] > 0).all()
    assert len({code for code, _ in made}) > 5, "a model that always says the same tests nothing"
    assert not paced or len(made) == 31


def test_one_prompt_serves_several_sentences_at_once(models):
    prompt, first, second = said(8), said(9), said(10, symbols=12)
    decoder = ARDecoder(models)
    fresh = [
        list(speak(decoder, read(models, decoder, prompt), s, GREEDY)) for s in (first, second)
    ]
    kept = read(models, decoder, prompt)
    streams = [speak(decoder, kept, s, GREEDY) for s in (first, second)]
    both = list(zip_longest(*streams))  # a frame of each in turn: neither may touch the other
    assert [frame for frame, _ in both if frame] == fresh[0]
    assert [frame for _, frame in both if frame] == fresh[1]
    assert list(speak(decoder, kept, first, GREEDY)) == fresh[0]


def test_the_prompt_matters_and_may_be_empty(models):
    sentence, decoder = said(11), ARDecoder(models)
    empty = said(12, frames=0)
    unconditional = list(speak(decoder, read(models, decoder, empty), sentence, GREEDY))
    assert unconditional == plain(models, empty, sentence, GREEDY, np.random.default_rng(0))
    prompted = list(speak(decoder, read(models, decoder, said(12)), sentence, GREEDY))
    assert prompted != unconditional


def test_the_room_for_positions_is_kept(models):
    decoder, sentence = ARDecoder(models), said(13, symbols=20)
    room = models.ar.size.max_positions
    kept = read(models, decoder, said(14, frames=room - 17))
    made = list(speak(decoder, kept, sentence, GREEDY))
    assert len(made) <= 17
    assert set(np.flatnonzero(~sentence.borders)) <= {symbol for _, symbol in made}
    with pytest.raises(UsageError, match="too few"):
        list(speak(decoder, read(models, decoder, said(14, frames=room - 5)), sentence, GREEDY))
    with pytest.raises(UsageError, match="shorter excerpt"):
        read(models, decoder, said(14, frames=room))


def test_training_forward_of_the_ar_reads_the_same_rows(models):
    both = said(15, symbols=9, frames=30)
    prompt_frames = 12
    inputs = ar_module.input_codes(tensor(both.codes), *[torch.tensor([prompt_frames])] * 2)[
        0
    ].numpy()
    assert (inputs[0] == NO_CODE).all()
    assert (inputs[1 : prompt_frames + 1] == both.codes[:prompt_frames]).all()
    assert (inputs[prompt_frames + 1 :, 0] == both.codes[prompt_frames:-1, 0]).all()
    assert (inputs[prompt_frames + 1 :, 1:] == NO_CODE).all()
    stay = tensor(count_frames_on_symbol(both.path))
    with torch.no_grad():
        spoken = (tensor(both.symbols), tensor(both.stress), tensor(both.voice))
        whole = models.ar(tensor(inputs), *spoken, tensor(both.path), stay)
        encoded = models.ar.phonemes(*spoken)
        rows = models.ar.forward_rows(tensor(inputs), encoded[:, both.path], stay)
    for one, other in zip(whole, rows, strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)


def frames_of(spoken):
    """What the AR would hand to the NAR."""
    return [
        (int(codes[0]), int(spoken.symbols[at]), int(spoken.stress[at]))
        for codes, at in zip(spoken.codes, spoken.path, strict=True)
    ]


def best_codes(tables, row):
    """What codes a vector best, of the best codings that are followed after each table."""
    paths = [((), row.astype(np.float64))]
    for table in tables:
        apart = np.stack([np.square(left - table).sum(-1) for _, left in paths])
        best = np.unravel_index(np.argsort(apart, axis=None)[: quantizer.BEAM], apart.shape)
        pairs = zip(*best, strict=True)
        paths = [((*paths[path][0], code), paths[path][1] - table[code]) for path, code in pairs]
    return paths[0][0]


def rows_of(spoken, frames):
    """Codes, symbols and stress of some frames."""
    at = spoken.path[frames]
    return spoken.codes[frames], spoken.symbols[at], spoken.stress[at]


def wanting(models, prompt):
    """What the NAR does not say of a prompt's frames when it hears the other half alone."""
    nar, size, count = models.nar, models.nar.size, len(prompt.codes)
    longest, middle = size.past + size.block + size.ahead, (count + 1) // 2
    said = np.zeros((count, size.latent), np.float32)
    for start, end, other in ((0, middle, range(middle, count)), (middle, count, range(middle))):
        for first in range(start, end, longest):
            piece = np.arange(first, min(end, first + longest))
            codes, symbols, stress = map(tensor, rows_of(prompt, piece))
            own = nar_module.mask_residual_codebooks(codes), symbols, stress
            voice, heard = tensor(prompt.voice), rows_of(prompt, np.array(other, int))
            with torch.no_grad():
                if len(other):
                    frames = torch.tensor([len(other)]), torch.tensor([len(piece)])
                    vectors = nar.forward_training(tuple(map(tensor, heard)), own, voice, *frames)
                else:
                    vectors, _, _ = nar(*own, voice, tensor(piece), torch.tensor(1))
            said[piece] = vectors[0].numpy()
    tables = nar.tables.numpy()
    return sum(tables[k][prompt.codes[:, k]] for k in range(1, 8)) - said


def drawn_near(models, first, known, left):
    """`residual_correction`, frame by frame and row by row."""
    table = models.nar.tables[0].numpy()
    mean = left.sum(0) / (len(left) + nar_module.PRIOR_FRAMES)
    found = []
    for code in first:
        apart = np.array([np.square(table[code] - table[other]).sum() for other in known])
        near = np.exp(-apart / np.square(table).sum(-1).mean() / nar_module.KERNEL_WIDTH)
        beside = sum(weight * (row - mean) for weight, row in zip(near, left, strict=True))
        found.append(mean + beside / (near.sum() + nar_module.PRIOR_NEIGHBORS))
    return np.array(found, np.float32)


def by_hand(models, prompt, frames):
    """The NAR's blocks in plain PyTorch: windows written out, the prompt run again each time."""
    size, made, left_over = models.nar.size, [], wanting(models, prompt)
    first, symbols, stress = (np.array(column) for column in zip(*frames, strict=True))
    heard = (prompt.codes, prompt.symbols[prompt.path], prompt.stress[prompt.path])
    at = 0
    while at < len(frames):
        left = len(frames) - at
        usual = size.block if at else first_block_frames(size.block)
        block = left if left < usual + size.ahead else usual
        start, end = max(0, at - size.past), min(len(frames), at + usual + size.ahead)
        codes = np.full((end - start, 8), NO_CODE)
        codes[:, 0] = first[start:end]
        target = tensor(codes), tensor(symbols[start:end]), tensor(stress[start:end])
        with torch.no_grad():
            own = models.nar.forward_training(
                tuple(map(tensor, heard)),
                target,
                tensor(prompt.voice),
                torch.tensor([len(prompt.codes)]),
                torch.tensor([end - start]),
            )[0].numpy()
        own = own + drawn_near(models, codes[:, 0], prompt.codes[:, 0], left_over)
        codes[:, 1:] = [best_codes(models.nar.tables[1:].numpy(), row) for row in own]
        made.append(codes[at - start :][:block])
        at += block
    return made


@pytest.mark.parametrize("count", [0, 1, 2, 5, 31, 40])
def test_what_is_wanting_in_a_prompt_of_any_length(models, count):
    prompt = said(25, frames=count)
    kept = RunningNAR(models).prompt(*rows_of(prompt, np.arange(count)), prompt.voice)
    assert kept.known.tolist() == prompt.codes[:, 0].tolist()
    np.testing.assert_allclose(kept.left, wanting(models, prompt), **CLOSE)


@pytest.mark.parametrize("count", [1, 7, 9, 10, 24, 40])
def test_nar_blocks_are_plain_pytorch(models, count):
    prompt, frames = said(16), frames_of(said(17, frames=count))
    nar = RunningNAR(models)
    kept = nar.prompt(
        prompt.codes, prompt.symbols[prompt.path], prompt.stress[prompt.path], prompt.voice
    )
    pieces = list(nar.predict_residuals(kept, iter(frames)))
    wanted = by_hand(models, prompt, frames)
    assert [len(piece) for piece in pieces] == [len(piece) for piece in wanted]
    np.testing.assert_array_equal(np.concatenate(pieces), np.concatenate(wanted))
    assert np.concatenate(pieces)[:, 0].tolist() == [frame[0] for frame in frames]
    assert (np.concatenate(pieces) < NO_CODE).all()


def test_the_nar_speaks_before_the_end_is_known(models):
    nar, size = RunningNAR(models), models.nar.size
    pulled = []

    def source():
        for frame in range(100):
            pulled.append(frame)
            yield frame, 1, 0

    empty = said(18, frames=0)
    kept = nar.prompt(empty.codes, empty.path, empty.path, empty.voice)
    first = next(nar.predict_residuals(kept, source()))
    assert len(first) == first_block_frames(size.block) < size.block
    assert len(pulled) == first_block_frames(size.block) + size.ahead
    assert list(nar.predict_residuals(kept, [])) == []
    lengths = [len(piece) for piece in nar.predict_residuals(kept, source())]
    assert lengths[1:-1] == [size.block] * (len(lengths) - 2) and sum(lengths) == 100


@pytest.mark.parametrize("kind", range(2))
def test_the_nar_graph_is_the_module(models, kind):
    prompt, target, size = said(19, frames=14), said(20, frames=11), models.nar.size
    codes = np.stack([target.codes, target.codes[::-1]])
    codes[:, 3:, 1:] = NO_CODE
    symbols = np.stack([target.symbols[target.path]] * 2)
    stress = np.stack([target.stress[target.path]] * 2)
    positions = np.stack([np.arange(11) + 14] * 2)
    shape = (size.layers, 2, size.heads, 14, size.width // size.heads)
    past = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    voice = np.stack([prompt.voice, target.voice])
    inputs = (codes, symbols, stress, voice, positions, np.array(kind), past[0], past[1])
    names = "codes symbols stress voice positions kind past_key past_value".split()
    rng = np.random.default_rng(1)
    known = codes[:, :5, 0]
    left = rng.normal(size=(2, 5, size.latent)).astype(np.float32)
    plain = rng.normal(size=(2, 11, size.latent)).astype(np.float32)
    feeds = dict(zip(names, inputs, strict=True)) | {"known": known, "left": left}
    feeds |= {"plain": plain, "strength": np.array(0, np.float32)}
    _, adapted, *_ = models.session("nar").run(None, feeds)
    _, guided, *_ = models.session("nar").run(None, feeds | {"strength": np.array(2, np.float32)})
    np.testing.assert_allclose(guided, adapted + 2 * (adapted - plain), **CLOSE)
    none = {"known": known[:, :0], "left": left[:, :0]}
    _, vector, given, *found = models.session("nar").run(None, feeds | none)
    moved = [drawn_near(models, codes[i, :, 0], known[i], left[i]) for i in range(2)]
    np.testing.assert_allclose(adapted, vector + moved, **CLOSE)
    assert np.abs(moved).max() > 0.1
    tables = torch.nn.functional.pad(models.nar.tables, (0, 0, 0, 1)).numpy()  # no code adds none
    np.testing.assert_allclose(given, sum(tables[k][codes[..., k]] for k in range(1, 8)), **CLOSE)
    with torch.no_grad():
        wanted = models.nar(*(torch.from_numpy(np.ascontiguousarray(each)) for each in inputs))
    for one, other in zip((vector, *found), wanted, strict=True):
        np.testing.assert_allclose(one, other.numpy(), **CLOSE)
    assert prompt.codes.shape == (14, 8)


def test_nar_training_pads_without_a_trace(models):
    """A padded batch of unequal items is what they are one by one."""
    prompts, targets = (
        [said(21, frames=6), said(22, frames=15)],
        [said(23, frames=20), said(24, frames=9)],
    )

    def rows(items, width):
        made = []
        for item in items:
            extra = width - len(item.path)
            made.append(
                (
                    np.pad(item.codes, ((0, extra), (0, 0)), constant_values=NO_CODE),
                    np.pad(item.symbols[item.path], (0, extra)),
                    np.pad(item.stress[item.path], (0, extra)),
                )
            )
        return tuple(torch.from_numpy(np.stack(column)) for column in zip(*made, strict=True))

    def run(prompt_items, target_items):
        prompt_frames = torch.tensor([len(item.path) for item in prompt_items])
        target_frames = torch.tensor([len(item.path) for item in target_items])
        prompt = rows(prompt_items, int(prompt_frames.max()))
        voice = torch.from_numpy(np.stack([item.voice for item in prompt_items]))
        codes, symbols, stress = rows(target_items, int(target_frames.max()))
        target = nar_module.mask_residual_codebooks(codes), symbols, stress
        with torch.no_grad():
            return models.nar.forward_training(
                prompt, target, voice, prompt_frames, target_frames
            ).numpy()

    together = run(prompts, targets)
    for item in range(2):
        one = slice(item, item + 1)
        alone = run(prompts[one], targets[one])
        np.testing.assert_allclose(together[item, : alone.shape[1]], alone[0], **CLOSE)


def test_the_nar_is_told_the_first_codebook_alone():
    codes = torch.arange(2 * 5 * 8).reshape(2, 5, 8)
    known = nar_module.mask_residual_codebooks(codes)
    assert torch.equal(known[..., 0], codes[..., 0])
    assert (known[..., 1:] == NO_CODE).all()


def test_what_codes_add_is_the_sum_of_their_vectors(models):
    codes = tensor(said(25, frames=6).codes)
    wanted = sum(models.nar.tables[book][codes[..., book]] for book in range(1, 8))
    found = quantizer.residual_vectors(models.nar.tables[1:], codes[..., 1:])
    torch.testing.assert_close(found, wanted)
