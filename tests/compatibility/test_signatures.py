"""Arguments of Amp 1.0.1: the same names, in the same order, with the same defaults."""

import importlib
import inspect

import pytest

# Name -> the arguments that scripts may give, by position too.
SIGNATURES = {
    "amp.Amp": "descriptor, model, label='amp', dblabel=None, cores=None, envcommand=None, "
    "logging=True, atoms=None",
    "amp.Amp.load": "file, Descriptor=None, Model=None",
    "amp.Amp.train": "self, images, overwrite=False",
    "amp.Amp.save": "self, filename, overwrite=False",
    "amp.descriptor.gaussian.Gaussian": "cutoff, Gs=None, dblabel=None, elements=None, "
    "version=None, fortran=True, mode='atom-centered'",
    "amp.descriptor.gaussian.Gaussian.calculate_fingerprints": "self, images, parallel=None, "
    "log=None, calculate_derivatives=False",
    "amp.descriptor.gaussian.make_symmetry_functions": "elements, type, etas, offsets=None, "
    "zetas=None, gammas=None",
    "amp.descriptor.gaussian.make_default_symmetry_functions": "elements",
    "amp.descriptor.cutoffs.Cosine": "Rc",
    "amp.descriptor.cutoffs.Polynomial": "Rc, gamma=4",
    "amp.descriptor.cutoffs.dict2cutoff": "dct",
    "amp.model.neuralnetwork.NeuralNetwork": "hiddenlayers=(5, 5), activation='tanh', "
    "weights=None, scalings=None, fprange=None, mode=None, version=None, regressor=None, "
    "lossfunction=None, fortran=True, checkpoints=100, randomseed=None, prescale=False",
    "amp.model.neuralnetwork.NeuralNetwork.calculate_energy": "self, fingerprints",
    "amp.model.neuralnetwork.NeuralNetwork.calculate_forces": "self, fingerprints, "
    "fingerprintprimes",
    "amp.model.neuralnetwork.NodePlot": "calc",
    "amp.model.neuralnetwork.NodePlot.plot": "self, images, filename",
    "amp.model.LossFunction": "energy_coefficient=1.0, force_coefficient=0.04, "
    "convergence=None, parallel=None, overfit=0.0, raise_ConvergenceOccurred=True, "
    "log_losses=True, d=None, weight_duplicates=False, maxiter=100000, nft_ids=None",
    "amp.model.LossFunction.get_loss": "self, parametervector, lossprime",
    "amp.regression.Regressor": "optimizer='BFGS', optimizer_kwargs=None, lossprime=True",
    "amp.regression.Regressor.regress": "self, model, log",
    "amp.analysis.plot_sensitivity": "calc, images, d=0.0001, label='sensitivity', dblabel=None, "
    "plotfile=None, overwrite=False, energy_coefficient=1.0, force_coefficient=0.04",
    "amp.analysis.plot_parity_and_error": "calc, images, label_parity='parity', "
    "label_error='error', dblabel=None, xtic_angle=45.0, plot_forces=True, "
    "plotfile_parity=None, plotfile_error=None, color='b.', overwrite=False, returndata=False",
    "amp.analysis.calc_rmse": "calc_paths, images, cores=None, dblabel=None, "
    "energy_coefficient=1.0, force_coefficient=0.04",
    "amp.analysis.read_trainlog": "logfile, verbose=True, multiple=0",
    "amp.analysis.plot_convergence": "data, plotfile='convergence.pdf'",
    "amp.utilities.hash_images": "images, log=None, ordered=False",
    "amp.utilities.check_images": "images, forces",
    "amp.utilities.randomize_images": "images, fraction=0.8",
    "amp.utilities.get_hash": "atoms",
    "amp.utilities.make_filename": "label, base_filename",
    "amp.utilities.Logger": "file",
    "amp.utilities.string2dict": "text",
    "amp.utilities.importer": "name",
    "amp.utilities.now": "with_utc=False",
    "amp.utilities.enforce_magnetic_moments": "atoms, supplied_magmom_dict=None",
    "amp.utilities.extract_an_atomic_chunk": "atoms, index, parent_calc=None, cutoff=6.5, "
    "vacuum=5.0",
}

# Other defaults, on purpose: they train better and change nothing for those who give the argument.
BETTER_DEFAULTS = {
    ("amp.model.neuralnetwork.NeuralNetwork", "prescale"): True,
    ("amp.regression.Regressor", "optimizer"): "L-BFGS-B",
}


def find(name):
    """Import the module part of a dotted name and walk down the rest."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for part in parts[n:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"there is no {name}")


def parameters_of(text):
    """Read arguments written as in a definition."""
    namespace = {}
    exec(f"def f({text}): pass", namespace)
    return list(inspect.signature(namespace["f"]).parameters.values())


@pytest.mark.parametrize("name", SIGNATURES)
def test_arguments_have_the_names_order_and_defaults_of_amp_1_0_1(name):
    theirs = parameters_of(SIGNATURES[name])
    ours = list(inspect.signature(find(name)).parameters.values())
    assert [p.name for p in ours[: len(theirs)]] == [p.name for p in theirs]
    for one, other in zip(ours, theirs, strict=False):
        assert one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        if other.default is not inspect.Parameter.empty:
            assert one.default == BETTER_DEFAULTS.get((name, one.name), other.default)


@pytest.mark.parametrize("name", SIGNATURES)
def test_new_arguments_can_be_left_out(name):
    added = list(inspect.signature(find(name)).parameters.values())
    for parameter in added[len(parameters_of(SIGNATURES[name])) :]:
        variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        assert variadic or parameter.default is not parameter.empty


def test_load_passes_other_keywords_to_the_calculator():
    last = list(inspect.signature(find("amp.Amp.load")).parameters.values())[-1]
    assert last.kind is inspect.Parameter.VAR_KEYWORD


@pytest.mark.parametrize(
    "name",
    ["amp.Amp.descriptor", "amp.Amp.model", "amp.Amp.cores", "amp.Amp.label", "amp.Amp.dblabel"],
)
def test_calculator_has_the_attributes_that_scripts_read_and_set(name):
    from amp import Amp
    from amp.descriptor.gaussian import Gaussian
    from amp.model.neuralnetwork import NeuralNetwork

    calc = Amp(Gaussian(), NeuralNetwork())
    attribute = name.rpartition(".")[2]
    value = getattr(calc, attribute)
    setattr(calc, attribute, value)
    assert getattr(calc, attribute) is value


def test_parameters_are_dictionaries_with_attributes():
    from amp.descriptor.gaussian import Gaussian
    from amp.model.neuralnetwork import NeuralNetwork

    model, descriptor = NeuralNetwork(hiddenlayers=(3, 2)), Gaussian(cutoff=4.0)
    assert model.parameters.hiddenlayers == model.parameters["hiddenlayers"] == (3, 2)
    assert descriptor.parameters.cutoff == descriptor.parameters["cutoff"]
    model.parameters.weights = {}
    assert model.parameters["weights"] == {}


@pytest.mark.parametrize(
    "optimizer", ["BFGS", "L-BFGS-B", "TNC", "Newton-CG", "NCG", "Nelder-Mead"]
)
def test_optimizers_have_the_names_that_they_had(optimizer):
    from amp.regression import Regressor

    assert Regressor(optimizer=optimizer).optimizer in (optimizer, "Newton-CG")
